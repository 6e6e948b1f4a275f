// Opens a real JupyterLab and runs a cell: `node notebook.mjs <url>`.

import { createRequire } from "node:module";
import { join } from "node:path";

const from = createRequire(join(process.env.NEUROPOD_TEST_BROWSER, "node_modules/"));
const puppeteer = from("puppeteer-core").default ?? from("puppeteer-core");

const browser = await puppeteer.launch({
  executablePath: "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
});
const page = await browser.newPage();
page.setDefaultTimeout(90_000);

// A page that says "Idle" may not be connected to the kernel yet: it then drops what it is told to run, as if it had not been.
async function runUntil(expected) {
  const printed = (expected) =>
    [...document.querySelectorAll(".jp-OutputArea-output")].some((out) => out.textContent.includes(expected));
  for (let tries = 9; ; tries -= 1) {
    await page.click(".jp-Notebook .jp-CodeCell .cm-content");
    await page.keyboard.down("Shift");
    await page.keyboard.press("Enter");
    await page.keyboard.up("Shift");
    try {
      return await page.waitForFunction(printed, { timeout: 10_000 }, expected);
    } catch (error) {
      if (tries === 0) throw error;
    }
  }
}

try {
  await page.goto(process.argv[2]);
  const card = ".jp-LauncherCard[data-category=Notebook]";
  await page.waitForSelector(card, { visible: true });
  await page.click(card);
  const cell = ".jp-Notebook .jp-CodeCell .cm-content";
  await page.waitForSelector(cell, { visible: true });
  await page.waitForSelector(".jp-Notebook-ExecutionIndicator[data-status=idle]");
  await page.click(cell);
  // What it prints is not what is typed.
  await page.keyboard.type("import os; print('6 * 7 =', 6 * 7, os.getcwd())");
  await runUntil("6 * 7 = 42 /workspace");
} catch (error) {
  console.error(page.url().split("?")[0], await page.$eval("body", (body) => body.innerText).catch(String));
  throw error;
} finally {
  await browser.close();
}
