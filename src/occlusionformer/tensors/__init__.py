"""The mathematics of z-ordered composition: functions of tensors, no parameters."""
