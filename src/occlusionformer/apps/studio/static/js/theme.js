// Light or dark, chosen before the first paint; the choice of the system unless the user made one.
(() => {
  const kept = localStorage.getItem("occlusionformer.theme");
  const dark = kept ? kept === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = dark ? "dark" : "light";
})();
