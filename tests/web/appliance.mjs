// The web console's main path against a running appliance: log in, upload a kernel, create a VM, type in its console, see its plot move,
// destroy it. tests/system/test_console_web.py boots the machine and calls this.
// usage: node appliance.mjs URL TOKEN KERNEL INITRD SCREENSHOT
import assert from 'node:assert/strict';
import { startBrowser, openPage, logIn, until } from './browser.mjs';

const [base, token, kernel, initrd, screenshot] = process.argv.slice(2);
const VM = 'debian';

const show = (page, path) => page.evaluate((hash) => { location.hash = hash; }, `#/${path}`);
const terminalText = (page) => page.evaluate(() => document.querySelector('.xterm-rows')?.innerText.replace(/\u00a0/g, ' ') || '');

async function upload(page, file, name) {
	await show(page, 'images');
	await page.getByLabel('File').setInputFiles(file);
	await page.getByLabel('Name').fill(name);
	await page.getByRole('button', { name: 'Upload', exact: true }).click();
	await page.getByRole('cell', { name, exact: true }).waitFor();
}

async function create(page) {
	await page.getByRole('link', { name: 'Create a VM' }).click();
	await page.getByLabel('Name').fill(VM);
	await page.getByLabel('Kernel').fill('my-kernel');
	await page.getByLabel('Initial RAM disk').fill('my-initrd');
	await page.getByLabel('Command line').fill('console=ttyS0');
	await page.getByLabel('Memory', { exact: true }).fill('192M');
	/* What the appliance finds wrong stands at its field. */
	await page.getByLabel('Virtual processors').fill('99');
	await page.getByRole('button', { name: 'Create', exact: true }).click();
	await page.locator('[data-field=vcpus] .error', { hasText: '99' }).waitFor();
	await page.getByLabel('Virtual processors').fill('1');
	await page.getByRole('button', { name: 'Create', exact: true }).click();
	await page.locator('.vm-head .state.running').waitFor();
}

async function type(page) {
	await page.getByRole('navigation', { name: VM }).getByRole('link', { name: 'Console' }).click();
	await page.getByText('Connected').waitFor();
	await until('the guest\'s prompt', async () => /:[^\n]*# /.test(await terminalText(page)));
	await page.locator('.xterm-helper-textarea').focus();
	/* The shell puts the answer together, so that the echo of the line is not mistaken for it. */
	await page.keyboard.type("printf '\\033[38;2;250;120;10m'; ls /; printf '\\033[0m'; echo he''re-I-am $((6 * 7))\n");
	await until('its answer', async () => /here-I-am 42/.test(await terminalText(page)));
	await page.getByRole('button', { name: 'Tell size' }).click();
	await page.keyboard.type('stty size\n');
	await until('the size', async () => /^[1-9]\d+ [1-9]\d+$/m.test(await terminalText(page)));
}

async function watch(page) {
	await page.getByRole('navigation', { name: VM }).getByRole('link', { name: 'Summary' }).click();
	const figures = () => page.locator('[data-plot="CPU"] figcaption').innerText();
	const pixels = () => page.locator('[data-plot="CPU"] canvas').evaluate((canvas) => canvas.toDataURL());
	await until('figures', async () => /used\s*\d/.test(await figures()));
	const before = await pixels();
	await until('another picture', async () => await pixels() !== before);
	assert.match(await page.locator('[data-plot="Exits by reason"]').innerText(), /\d/);
}

/* What the guest sends, here to the guests' gateway, shows as traffic of its card. */
async function send(page) {
	await page.keyboard.type('ping 10.0.100.1 >/dev/null &\n');
	await page.getByRole('navigation', { name: VM }).getByRole('link', { name: 'Summary' }).click();
	const sent = () => page.locator('[data-plot="Network"] figcaption').innerText();
	await until('traffic', async () => /out\s*[1-9]/.test(await sent()));
}

async function destroy(page) {
	await page.getByRole('button', { name: 'More' }).click();
	await page.getByRole('menuitem', { name: 'Pull the plug' }).click();
	await page.getByRole('dialog').getByRole('button', { name: 'Pull the plug' }).click();
	await page.locator('.vm-head .state.shutoff').waitFor();
	await page.getByRole('button', { name: 'More' }).click();
	await page.getByRole('menuitem', { name: 'Delete' }).click();
	await page.getByRole('dialog').getByRole('textbox').fill(VM);
	await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
	await page.locator('.tree .vms a', { hasText: VM }).waitFor({ state: 'detached' });
	await show(page, 'events');
	await page.locator('main tbody tr', { hasText: VM }).first().waitFor();
}

const browser = await startBrowser();
try {
	const page = await openPage(browser, base);
	const step = async (name, action) => {
		const start = Date.now();
		await action(page);
		console.log(`${name}: ${Date.now() - start} ms`);
	};
	try {
		await step('log in', () => logIn(page, token));
		await step('upload', () => upload(page, kernel, 'my-kernel').then(() => upload(page, initrd, 'my-initrd')));
		await step('create', create);
		await step('watch', watch);
		await step('type', type);
		await page.screenshot({ path: screenshot.replace(/(\.png)?$/, '-terminal.png') });
		await step('send', send);
		await step('watch again', watch);
		await page.screenshot({ path: screenshot });
		await step('destroy', destroy);
	} catch (error) {
		console.log(await page.locator('body').innerText());
		throw error;
	}
	assert.deepEqual(page.complaints, []);
} finally {
	await browser.close();
}
