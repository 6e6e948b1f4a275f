// Drives the example page in a real browser, as a person does: `node page.mjs <server> <template> <screenshots>`.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const from = createRequire(join(process.env.NEUROPOD_TEST_BROWSER, "node_modules/"));
const puppeteer = from("puppeteer-core").default ?? from("puppeteer-core");
const axe = readFileSync(from.resolve("axe-core/axe.min.js"), "utf8");
const [server, template, pictures] = process.argv.slice(2);
const WITHIN = 60_000;

const browser = await puppeteer.launch({
  executablePath: "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
});
const complaints = [];
const page = await browser.newPage();
page.setDefaultTimeout(WITHIN);
await page.evaluateOnNewDocument(() => {
  window.setInterval = () => 0;
});
page.on("console", (said) => ["error", "warn"].includes(said.type()) && complaints.push(said.text()));
page.on("pageerror", (error) => complaints.push(String(error)));
page.on("request", (request) => new URL(request.url()).origin === server || complaints.push(request.url()));

async function accessible(when) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run());
  const grave = violations.filter(({ impact }) => ["serious", "critical"].includes(impact));
  assert.deepEqual(grave.map(({ id, nodes }) => [id, nodes.map((n) => n.html)]), [], when);
}

async function picture(name, width, scheme) {
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
  await page.setViewport({ width, height: 800 });
  await accessible(`${name}, ${width}, ${scheme}`);
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(wide <= 0, `${name}: ${wide} pixels too wide at ${width}`);
  if (pictures) await page.screenshot({ path: join(pictures, `${name}-${width}-${scheme}.png`), fullPage: true });
}

const state = (text) =>
  page.waitForFunction((text) => document.querySelector("#pods .state")?.textContent === text, {}, text);
const press = (text) => page.click(`::-p-xpath(//ul[@id='pods']//button[text()='${text}'])`);

try {
  await page.goto(server);
  await page.waitForSelector("#sign-in", { visible: true });
  await picture("entrance", 360, "light");
  assert.equal(await page.evaluate(() => document.activeElement.id), "email");
  // By keyboard alone.
  await page.keyboard.down("Control");
  await page.keyboard.press("a");
  await page.keyboard.up("Control");
  await page.keyboard.type("ana@example.com");
  await page.keyboard.press("Enter");
  await page.waitForSelector("#desk", { visible: true });
  await page.waitForFunction(() => document.querySelector("#balance").textContent && document.querySelector("#template").options.length);

  const id = await page.$$eval("#template option", (all, name) => all.find((o) => o.text === name).value, template);
  await page.select("#template", id);
  await page.select("#gpu", "cpu");
  await page.select("#idle", "30m");
  await page.click("#launch button");
  await state("Running");
  await page.waitForFunction(() => /Stops at .+ if nothing uses it/.test(document.querySelector("#pods li").textContent));
  await picture("running", 1000, "light");
  await picture("running", 1000, "dark");
  await picture("running", 360, "dark");

  const url = await page.$eval("#pods a", (link) => link.href);
  const tab = new Promise((resolve) => browser.once("targetcreated", resolve));
  await page.click("#pods a");
  const opened = await (await tab).page();
  await opened.waitForFunction(() => document.body?.textContent.includes("Hello from pod"));
  assert.equal(opened.url(), url);
  await opened.close();

  await press("Look inside");
  await page.waitForFunction(() => document.querySelector("#inside pre").textContent.includes("serving HTTP on port 8080"));
  const figure = (name, pattern) =>
    page.waitForFunction(
      (name, pattern) => [...document.querySelectorAll("#inside dl div")]
        .some((plot) => plot.querySelector("dt").textContent === name && plot.querySelector("dd").textContent.match(pattern)),
      {}, name, pattern);
  await figure("CPU", "^[0-9]+ %$");
  await figure("Memory", "^[0-9]+ MB of 67 MB$");
  const shown = await page.$$eval("#inside dl div", (plots) => plots.filter((p) => !p.hidden).map((p) => p.querySelector("dt").textContent));
  assert.deepEqual(shown, ["CPU", "Memory", "Container disk", "Volume"]);
  await page.waitForFunction(() => document.querySelector("#inside path").getAttribute("d").includes("L"));
  await picture("inside", 1000, "light");
  await picture("inside", 360, "dark");
  await page.keyboard.press("Escape");
  await page.waitForFunction(() => !document.querySelector("#inside").open);

  // What others do is seen at once: the page's own looks are switched off below.
  const token = await page.evaluate(() => sessionStorage.getItem("neuropod-token"));
  const pod = await page.$eval("#pods > li", (card) => card.dataset.pod);
  const elsewhere = (verb) =>
    fetch(`${server}/api/pods/${pod}/${verb}`, { method: "POST", headers: { authorization: `Bearer ${token}` } });
  await elsewhere("stop");
  await state("Stopped");
  await elsewhere("start");
  await state("Running");

  await press("Stop");
  await state("Stopped");
  assert.equal(await page.$("#pods a"), null);
  await press("Start");
  await state("Running");
  await press("Delete");
  await picture("sure", 360, "light");
  await page.click("#sure button[value=no]");
  assert.equal((await page.$$("#pods > li")).length, 1);
  await press("Delete");
  await page.click("#sure button[value=yes]");
  await page.waitForSelector("#none", { visible: true });

  // It is what it was after a reload, and nobody's after the end.
  await page.reload();
  await page.waitForSelector("#desk", { visible: true });
  await page.click("#sign-out");
  await page.waitForSelector("#sign-in", { visible: true });
  assert.equal(await page.evaluate(() => sessionStorage.length), 0);
  assert.deepEqual(complaints, []);
} catch (error) {
  console.error(await page.$eval("body", (body) => body.innerText).catch(String), complaints);
  throw error;
} finally {
  await browser.close();
}
