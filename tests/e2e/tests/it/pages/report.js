// Reads reports as a person does, in a real browser: node report.js BROWSER SHOTS PAGE.html …
// Wide and narrow, light and dark, by keyboard alone, and on paper. What somebody cannot read is a failure here.
'use strict';
const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { pathToFileURL } = require('node:url');
const { chromium } = require('playwright-core');

const LOOKS = [
  { name: 'wide-light', colorScheme: 'light', viewport: { width: 1280, height: 900 } },
  { name: 'wide-dark', colorScheme: 'dark', viewport: { width: 1280, height: 900 } },
  { name: 'phone-dark', colorScheme: 'dark', viewport: { width: 390, height: 844 } },
];
// WCAG 2.2, 1.4.3, for text of ordinary size.
const CONTRAST_MIN = 4.5;
// A4 across without its margins of 15 mm, in CSS pixels.
const PAPER = { width: 1009, height: 680 };

async function opened(browser, file, look) {
  const context = await browser.newContext(look);
  const page = await context.newPage();
  const noise = [];
  page.on('console', (message) => noise.push(`console: ${message.text()}`));
  page.on('pageerror', (error) => noise.push(`error: ${error}`));
  page.on('dialog', (dialog) => { noise.push(`dialog: ${dialog.message()}`); dialog.dismiss(); });
  page.on('request', (request) => { if (request.url() !== pathToFileURL(file).href) noise.push(`request: ${request.url()}`); });
  await page.goto(pathToFileURL(file).href);
  return { context, page, noise };
}

// What stands on the page that is too faint to read, as "ratio text".
function faint(least) {
  const channels = (color) => color.match(/[\d.]+/g).map(Number);
  const luminance = ([r, g, b]) => {
    const linear = [r, g, b].map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = channels(getComputedStyle(at).backgroundColor);
      if (color.length < 4 || color[3] > 0) return color;
    }
    return [255, 255, 255];
  };
  const found = [];
  const texts = document.createTreeWalker(document.querySelector('main'), NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim()) continue;
    const [one, other] = [channels(getComputedStyle(element).color), behind(element)].map(luminance);
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (ratio < least) found.push(`${ratio.toFixed(1)} ${texts.currentNode.data.trim().slice(0, 40)}`);
  }
  return found;
}

// What is wider than where it stands and cannot be scrolled there.
function cut() {
  const root = document.scrollingElement;
  const found = root.scrollWidth > innerWidth ? [`the page is ${root.scrollWidth} of ${innerWidth}`] : [];
  for (const element of document.querySelectorAll('main *')) {
    const style = getComputedStyle(element);
    if (element.scrollWidth > element.clientWidth + 1 && element.clientWidth > 0 && style.display !== 'inline'
      && !['auto', 'scroll'].includes(style.overflowX) && !element.closest('section')) found.push(element.outerHTML.slice(0, 80));
  }
  return found;
}

async function structure(page) {
  const found = await page.evaluate(() => ({
    lang: document.documentElement.lang,
    title: document.title,
    h1: [...document.querySelectorAll('h1')].map((one) => one.innerText),
    questions: [...document.querySelectorAll('section > h2')].map((one) => one.innerText),
    sections: [...document.querySelectorAll('section')].map((one) => one.id),
    contents: [...document.querySelectorAll('nav a')].map((one) => [one.innerText, one.getAttribute('href').slice(1)]),
    bare: [...document.querySelectorAll('table')].filter((one) => !one.querySelector('thead th[scope=col]')).length,
    strange: document.querySelectorAll('script, img, iframe, object, embed, link, form').length,
  }));
  assert.equal(found.lang, 'en');
  assert.deepEqual(found.h1, [found.title]);
  assert.ok(found.questions.length >= 4 && found.questions.every((one) => one.length > 5), found.questions.join('; '));
  assert.deepEqual(found.contents.map(([text]) => text), found.questions);
  assert.deepEqual(found.contents.map(([, id]) => id), found.sections);
  assert.deepEqual([found.bare, found.strange], [0, 0]);
  return found.sections;
}

// Every question by Tab and Enter, and always seen where one is.
async function keyboard(page, ids) {
  for (const id of ids) {
    await page.keyboard.press('Tab');
    const at = await page.evaluate(() => {
      const style = getComputedStyle(document.activeElement);
      return { to: document.activeElement.getAttribute('href'), seen: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 1 };
    });
    assert.deepEqual(at, { to: `#${id}`, seen: true });
  }
  await page.keyboard.press('Enter');
  await page.waitForFunction((id) => document.querySelector(':target')?.id === id, ids.at(-1));
  const at = await page.evaluate(() => document.activeElement.id);
  assert.equal(at, ids.at(-1), 'one is where one wanted to go');
}

async function paper(page, questions) {
  await page.emulateMedia({ media: 'print', colorScheme: 'dark' });
  await page.setViewportSize(PAPER);
  const found = await page.evaluate(() => ({
    ink: getComputedStyle(document.body).color,
    paper: getComputedStyle(document.body).backgroundColor,
    nav: getComputedStyle(document.querySelector('nav')).display,
    heads: [...document.querySelectorAll('thead')].filter((one) => getComputedStyle(one).display !== 'table-header-group').length,
    wide: [...document.querySelectorAll('section')].filter((one) => one.scrollWidth > innerWidth).map((one) => one.id),
  }));
  assert.deepEqual(found, { ink: 'rgb(0, 0, 0)', paper: 'rgb(255, 255, 255)', nav: 'none', heads: 0, wide: [] });
  const pdf = (await page.pdf({ preferCSSPageSize: true })).toString('latin1');
  const sheets = (pdf.match(/\/Type\s*\/Page\b/g) ?? []).length;
  assert.ok(sheets >= questions, `${questions} questions on ${sheets} sheets`);
}

function found(program) {
  return process.env.PATH.split(path.delimiter).map((folder) => path.join(folder, program)).find(fs.existsSync);
}

async function main([program, shots, ...files]) {
  const browser = await chromium.launch({ executablePath: found(program), args: ['--no-sandbox'] });
  try {
    for (const file of files) {
      for (const look of LOOKS) {
        const { context, page, noise } = await opened(browser, file, look);
        const ids = await structure(page);
        assert.deepEqual(await page.evaluate(cut), [], `${file}, ${look.name}`);
        assert.deepEqual(await page.evaluate(faint, CONTRAST_MIN), [], `${file}, ${look.name}`);
        const shot = `${path.basename(file, '.html')}-${look.name}.png`;
        await page.screenshot({ path: path.join(shots, shot), fullPage: true });
        await keyboard(page, ids);
        if (look.name === 'wide-light') await paper(page, ids.length);
        assert.deepEqual(noise, [], `${file}, ${look.name}`);
        await context.close();
      }
    }
  } finally {
    await browser.close();
  }
  console.log('all of it holds');
}

main(process.argv.slice(2)).catch((error) => { console.error(error); process.exitCode = 1; });
