"use strict";
// Fetches the page again and puts it in place when something on it is new.
setInterval(async () => {
  if (document.hidden) return;
  try {
    const answer = await fetch(location.href, { cache: "no-store" });
    // Its style has a nonce of its own, which the policy of this page would only complain about.
    const text = (await answer.text()).replace(/<style[^]*?<\/style>/, "");
    const fresh = new DOMParser().parseFromString(text, "text/html");
    const before = document.getElementById("main");
    const after = fresh.getElementById("main");
    if (!answer.ok || !after || after.dataset.version === before.dataset.version) return;
    const focused = document.activeElement ? document.activeElement.id : "";
    before.replaceWith(after);
    if (document.title !== fresh.title) {
      document.title = fresh.title;
      document.getElementById("news").textContent = "Updated: " + fresh.title;
    }
    const again = focused && document.getElementById(focused);
    if (again) again.focus({ preventScroll: true });
  } catch {
    // The sandbox is away; the next round tries again.
  }
}, 3000);
