// Looks at pages as people do, in a browser: node page.mjs <browser> <JSON>, where the JSON
// has `checkout`, the URL of a checkout's page, `priced`, that of a priced route, and
// `folder`, where pictures go. Prints what it saw as one JSON object.
import puppeteer from "puppeteer-core";
import path from "node:path";

const [executablePath, wanted] = process.argv.slice(2);
const { checkout, priced, folder } = JSON.parse(wanted);
const origin = new URL(checkout).origin;

const browser = await puppeteer.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] });
const seen = { complaints: [], foreign: [], pages: {} };

async function open(width, scheme) {
  const page = await browser.newPage();
  await page.setViewport({ width, height: 844, isMobile: width < 600, hasTouch: width < 600 });
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
  page.on("console", (m) => {
    // A browser says of every 402 that it is one, and asks for an icon that pages have none of.
    if (m.type() === "error" && !/status of 40[24]/.test(m.text())) seen.complaints.push(m.text());
  });
  page.on("pageerror", (e) => seen.complaints.push(String(e)));
  page.on("request", (r) => {
    if (new URL(r.url()).origin !== origin && !r.url().startsWith("data:")) seen.foreign.push(r.url());
  });
  return page;
}

// look measures what is on the screen.
async function look(page, name, status) {
  await page.screenshot({ path: path.join(folder, `${name}.png`), fullPage: true });
  seen.pages[name] = {
    status,
    ...(await page.evaluate(() => {
      const luminance = (css) => {
        const [r, g, b] = css.match(/[\d.]+/g).map((c) => {
          const v = Number(c) / 255;
          return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
      };
      const behind = (e) => {
        for (; e; e = e.parentElement) {
          const c = getComputedStyle(e).backgroundColor;
          if (!/, 0\)$/.test(c)) return c;
        }
        return "rgb(255, 255, 255)";
      };
      let contrast = 21;
      for (const e of document.querySelectorAll("main *")) {
        if (![...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())) continue;
        const [a, b] = [luminance(getComputedStyle(e).color), luminance(behind(e))].sort((x, y) => y - x);
        contrast = Math.min(contrast, (a + 0.05) / (b + 0.05));
      }
      const button = document.querySelector("button")?.getBoundingClientRect();
      return {
        title: document.title, lang: document.documentElement.lang, text: document.body.innerText,
        overflow: document.documentElement.scrollWidth - window.innerWidth, contrast,
        button: button ? Math.min(button.width, button.height) : 0,
        scripts: document.scripts.length,
      };
    })),
  };
}

try {
  for (const [width, scheme] of [[390, "light"], [390, "dark"], [1280, "light"]]) {
    const page = await open(width, scheme);
    const a = await page.goto(checkout);
    await look(page, `checkout-${width}-${scheme}`, a.status());
    const b = await page.goto(priced);
    await look(page, `priced-${width}-${scheme}`, b.status());
    await page.close();
  }
  const page = await open(390, "light");
  await page.goto(checkout);
  // With the keyboard alone.
  for (let i = 0; i < 20 && (await page.evaluate(() => document.activeElement.tagName)) !== "BUTTON"; i++) {
    await page.keyboard.press("Tab");
  }
  await Promise.all([page.waitForNavigation(), page.keyboard.press("Enter")]);
  await look(page, "paid", 200);
  await Promise.all([page.waitForNavigation(), page.click("main a")]);
  await look(page, "order", 200);
} finally {
  await browser.close();
}
console.log(JSON.stringify(seen));
