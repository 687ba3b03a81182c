// What the frame does not do by itself: follow Airflow's choice of light or dark, and open links in tabs of their own.

const root = document.documentElement;

function follow() {
  const theme = localStorage.getItem("theme");
  if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  else delete root.dataset.theme;
}

follow();
addEventListener("storage", follow); // it is chosen in the page around this one

// Airflow's frame may open no tab; the page around it may.
addEventListener("click", (event) => {
  const link = event.target.closest("a[target=_blank]");
  if (!link || window.parent === window) return;
  event.preventDefault();
  const outside = parent.document.createElement("a");
  Object.assign(outside, { href: link.href, target: "_blank", rel: "noopener noreferrer" });
  outside.click();
});
