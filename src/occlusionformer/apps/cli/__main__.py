"""`python -m occlusionformer.apps.cli`: the command line without the installed command."""

from occlusionformer.apps.cli import main

main()
