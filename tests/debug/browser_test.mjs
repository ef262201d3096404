// The debug server's page in a browser, desktop- and phone-sized, light and dark.
//
//   node browser_test.mjs PROGRAM [FOLDER]     PROGRAM --serve allocates and serves meanwhile; FOLDER gets screenshots
//
// Exit status 77: no browser or no playwright-core here.
import {spawn} from "node:child_process";
import {existsSync} from "node:fs";
import {createInterface} from "node:readline";

const SKIPPED = 77;
const [program, folder] = process.argv.slice(2);
const browserPath = ["/usr/bin/chromium", "/usr/bin/google-chrome"].find(existsSync);
const playwright = await import("playwright-core").catch(() => null);
if (browserPath === undefined || playwright === null) {
  console.log("no browser, or no playwright-core (npm ci in tests/debug): skipped");
  process.exit(SKIPPED);
}

const failures = [];
function check(condition, what) {
  if (!condition) failures.push(what);
}

const server = spawn(program, program.includes("index_service") ? ["--serve", "0"] : ["--serve"], {stdio: ["pipe", "pipe", "inherit"]});
let port = 0;
for await (const line of createInterface({input: server.stdout})) {
  port = Number(/(\d+)\/? ?(\(.*)?$/.exec(line)?.[1] ?? 0);
  if (port !== 0) break;
}
server.stdout.resume();
const base = `http://127.0.0.1:${port}`;
const browser = await playwright.chromium.launch({executablePath: browserPath, args: ["--no-sandbox"]});

async function open(size, colorScheme) {
  const context = await browser.newContext({viewport: size, colorScheme, deviceScaleFactor: 1});
  const page = await context.newPage();
  page.on("console", (message) => message.type() === "error" && failures.push(`console: ${message.text()}`));
  page.on("pageerror", (error) => failures.push(`error: ${error.message}`));
  page.on("request", (request) => check(request.url().startsWith(base) || request.url().startsWith("data:"), `asks elsewhere: ${request.url()}`));
  await page.goto(base);
  await page.waitForFunction(() => document.querySelectorAll("#types tbody tr").length > 0 && document.querySelectorAll(".tile").length === 6);
  return page;
}

const newest = (page) => page.evaluate(() => performance.getEntriesByType("resource").filter((e) => e.name.includes("/api/samples")).length);

async function checkUpdates(page) {
  const asked = await newest(page);
  const figure = await page.textContent("#about");
  await page.waitForFunction((before) => document.querySelector("#about").textContent !== before, figure, {timeout: 10000});
  check((await newest(page)) > asked, "asks again");
  check((await page.textContent("#status")) === "live", "says that it is live");
}

async function checkLayout(page, name) {
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  check(wide <= 0, `${name}: wider than the window by ${wide}`);
  const charts = await page.evaluate(() => [...document.querySelectorAll("#charts canvas")].map((c) => c.getBoundingClientRect().width));
  check(charts.length === 6 && charts.every((w) => w > 200), `${name}: charts of widths ${charts}`);
  for (const chart of await page.evaluate(() => [...document.querySelectorAll("#charts .card")].map((c) => c.querySelector(".hint").textContent.length)))
    check(chart > 40, `${name}: a chart without a sentence that says what to look for`);
}

// Something is drawn: not all points of a chart's canvas have one colour.
async function checkInk(page, name) {
  const ink = await page.evaluate(() => [...document.querySelectorAll("#charts canvas")].map((c) => {
    const data = new Uint32Array(c.getContext("2d").getImageData(0, 0, c.width, c.height).data.buffer);
    return new Set(data).size;
  }));
  check(ink.every((n) => n > 20), `${name}: an empty chart: ${ink}`);
}

async function checkButtons(page) {
  const before = (await (await fetch(`${base}/api/samples`)).json()).about.cycles;
  await page.click("#collect");
  await page.waitForFunction(() => !document.querySelector("#collect").disabled);
  check((await (await fetch(`${base}/api/samples`)).json()).about.cycles > before, "Collect collects");
  await page.click("#pause");
  check((await page.textContent("#pause")) === "Go on", "Pause pauses");
  await page.click("#pause");
  await page.selectOption("#window", "60");
  await page.click("#theme");
  await page.click("#theme");
}

async function shoot(page, name) {
  if (folder === undefined) return;
  await page.screenshot({path: `${folder}/${name}.png`});
  await page.screenshot({path: `${folder}/${name}-whole.png`, fullPage: true});
}

const seconds = Number(process.env.LULL_SECONDS ?? 3);  // more for a picture
await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
for (const [name, size, scheme] of [["desktop-light", {width: 1440, height: 900}, "light"], ["desktop-dark", {width: 1440, height: 900}, "dark"],
                                    ["phone-light", {width: 390, height: 844}, "light"], ["phone-dark", {width: 390, height: 844}, "dark"]]) {
  const page = await open(size, scheme);
  await checkUpdates(page);
  await checkLayout(page, name);
  await checkInk(page, name);
  await shoot(page, name);
  if (name === "desktop-light") await checkButtons(page);
  await page.context().close();
}

// A program that has gone is told as such.
const page = await open({width: 800, height: 600}, "light");
page.removeAllListeners("console");
server.stdin.end();
if (program.includes("index_service")) server.kill();
await page.waitForFunction(() => document.querySelector("#status").textContent === "no answer", null, {timeout: 15000});
await browser.close();

for (const failure of failures) console.log(`FAILED: ${failure}`);
console.log(failures.length === 0 ? "the page: desktop and phone, light and dark" : `${failures.length} failures`);
process.exit(failures.length === 0 ? 0 : 1);
