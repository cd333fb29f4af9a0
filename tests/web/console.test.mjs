// The web console in a real browser, against the real API library with played VMs (build/hilum-sim). Whatever the Content-Security-Policy
// stops, and each error in the browser's console, fails the test in whose page it happened.
import test, { before, after } from 'node:test';
import assert from 'node:assert/strict';
import { startSimulator, startBrowser, openPage, logIn, ask, until } from './browser.mjs';

const KERNEL = { name: 'bzImage', mimeType: 'application/octet-stream', buffer: Buffer.alloc(3 << 20, 7) };
const NARROW = { viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true };

let simulator, browser;

before(async () => {
	simulator = await startSimulator();
	browser = await startBrowser();
});

after(async () => {
	await browser?.close();
	simulator?.stop();
});

// A test with a page of its own; `role` is that of the token it logs in with, '' for none.
function inPage(name, { role = 'admin', ...options }, body) {
	test(name, async () => {
		const { base, token } = simulator;
		const page = await openPage(browser, base, options);
		try {
			if (role)
				await logIn(page, role === 'admin' ? token : await tokenOf(role));
			await body(page);
			assert.deepEqual(page.complaints, []);
		} finally {
			await page.context().close();
		}
	});
}

async function tokenOf(role) {
	const name = `${role}-${Math.random().toString(36).slice(2, 8)}`;
	return (await ask(simulator.base, simulator.token, 'POST', '/tokens', { name, role })).token;
}

const api = (method, path, body) => ask(simulator.base, simulator.token, method, path, body);
const show = (page, path) => page.evaluate((hash) => { location.hash = hash; }, `#/${path}`);

async function uploadKernel(page) {
	await show(page, 'images');
	await page.getByLabel('File').setInputFiles({ ...KERNEL, name: 'uploaded kernel' });
	assert.equal(await page.getByLabel('Name').inputValue(), 'uploaded-kernel');
	await page.getByRole('button', { name: 'Upload', exact: true }).click();
	await page.getByText('uploaded-kernel is uploaded.').waitFor();
	await page.getByRole('cell', { name: 'uploaded-kernel', exact: true }).waitFor();
}

async function makeVm(name, { start = false, ...config } = {}) {
	const { images } = await api('GET', '/images');
	if (!images.some((image) => image.name === 'bzImage')) {
		const response = await fetch(`${simulator.base}/api/v1/images/bzImage`, { method: 'PUT', body: KERNEL.buffer,
			headers: { Authorization: `Bearer ${simulator.token}`, 'Content-Type': 'application/octet-stream' } });
		assert.ok(response.ok, `upload: ${response.status}`);
	}
	await api('PUT', `/vms/${name}`, { kernel: 'bzImage', memory: '64M', ...config });
	if (start)
		await api('POST', `/vms/${name}/boot`);
}

const terminalText = (page) => page.evaluate(() => document.querySelector('.xterm-rows')?.innerText.replace(/\u00a0/g, ' ') || '');
const scrollsSideways = (page) => page.evaluate(() => document.documentElement.scrollWidth > innerWidth ||
	document.querySelector('main').scrollWidth > document.querySelector('main').clientWidth);

inPage('log in: a wrong token is refused in a sentence', { role: '' }, async (page) => {
	await page.getByLabel('Token', { exact: true }).fill('hilum_wrong');
	await page.getByRole('button', { name: 'Log in' }).click();
	const alert = page.locator('#token-error');
	await until('the refusal', async () => (await alert.innerText()).length > 10);
	assert.match(await alert.innerText(), /token/i);
	assert.equal(await page.locator('#token').getAttribute('aria-invalid'), 'true');
});

inPage('log in: the right token opens the host page, lasts for the tab, and is in no address', {}, async (page) => {
	await page.locator('.role', { hasText: 'admin' }).waitFor();
	await page.reload();
	await page.locator('.role', { hasText: 'admin' }).waitFor();
	assert.ok(!page.url().includes('hilum_'));
	assert.equal(await page.evaluate(() => localStorage.getItem('hilum.token')), null);
	await page.getByRole('button', { name: 'Log out' }).click();
	await page.getByLabel('Token', { exact: true }).waitFor();
	assert.equal(await page.evaluate(() => sessionStorage.getItem('hilum.token')), null);
});

inPage('log in: kept on this computer if the operator wants', { role: '' }, async (page) => {
	await page.getByLabel('Keep on this computer').check();
	await logIn(page, simulator.token);
	const other = await page.context().newPage();
	await other.goto(simulator.base);
	await other.locator('.role', { hasText: 'admin' }).waitFor();
});

inPage('session: a token that is withdrawn ends it with a reason', { role: '' }, async (page) => {
	const token = (await api('POST', '/tokens', { name: 'short', role: 'viewer' })).token;
	await logIn(page, token);
	await api('DELETE', '/tokens/short');
	await page.getByText('does not accept your token any more').waitFor();
});

inPage('host: faults, how the last run ended, and the processor\'s vulnerabilities', {}, async (page) => {
	const { vulnerabilities, last_boot: last } = await api('GET', '/host');
	await page.locator('dl div', { hasText: 'Last run ended by' }).getByText(last.reason).waitFor();
	await page.getByText('Machine checks that ended a VM').waitFor();
	for (const [name, state] of Object.entries(vulnerabilities))
		await page.getByRole('row', { name: `${name} ${state}`, exact: true }).waitFor();
});

inPage('viewer: sees, and has no buttons that change anything', { role: 'viewer' }, async (page) => {
	await makeVm('looked-at', { start: true });
	await page.getByRole('link', { name: /looked-at/ }).first().click();
	await page.locator('.plot').first().waitFor();
	assert.equal(await page.getByRole('group', { name: 'Actions' }).getByRole('button').count(), 0);
	assert.equal(await page.getByRole('link', { name: 'Create a VM' }).count(), 0);
	assert.equal(await page.getByRole('link', { name: 'Tokens' }).count(), 0);
	await show(page, 'vms/looked-at/definition');
	await page.getByLabel('Kernel').waitFor();
	assert.ok(await page.getByLabel('Kernel').isDisabled());
	assert.equal(await page.getByRole('button', { name: 'Save' }).count(), 0);
	await show(page, 'vms/looked-at/console');
	await page.getByText('Read only').waitFor();
	await show(page, 'images');
	await page.locator('main table').waitFor();
	assert.equal(await page.getByRole('button', { name: /Upload|Delete/ }).count(), 0);
	await show(page, 'tokens');
	await page.getByText('needs the role admin').waitFor();
});

inPage('operator: starts and stops, but does not define', { role: 'operator' }, async (page) => {
	await makeVm('operated');
	await show(page, 'vms/operated');
	await page.getByRole('button', { name: 'Start' }).click();
	await page.locator('.vm-head .state.running').waitFor();
	await page.getByRole('button', { name: 'Pause' }).click();
	await page.locator('.vm-head .state.paused').waitFor();
	await page.getByRole('button', { name: 'Resume' }).click();
	await page.locator('.vm-head .state.running').waitFor();
	assert.equal(await page.getByRole('link', { name: 'Create a VM' }).count(), 0);
});

inPage('from an uploaded kernel to a VM that runs, shows figures, answers, and is destroyed', {}, async (page) => {
	await uploadKernel(page);
	await page.getByRole('link', { name: 'Create a VM' }).click();
	await page.getByLabel('Name').fill('fresh');
	await page.getByLabel('Kernel').fill('uploaded-kernel');
	await page.getByLabel('Memory', { exact: true }).fill('128M');
	await page.getByRole('button', { name: 'Create', exact: true }).click();
	await page.locator('.vm-head .state.running').waitFor();
	assert.equal((await api('GET', '/vms/fresh')).config.memory, '128M');

	/* Its plot moves: the figures above it change, and so does the picture. */
	const cpu = page.locator('[data-plot="CPU"]');
	const figures = () => cpu.locator('figcaption').innerText();
	const pixels = () => cpu.locator('canvas').evaluate((canvas) => canvas.toDataURL());
	await until('figures', async () => /used\s*\d/.test(await figures()));
	const [firstFigures, firstPixels] = [await figures(), await pixels()];
	await until('other figures', async () => await figures() !== firstFigures);
	await until('another picture', async () => await pixels() !== firstPixels);

	await page.getByRole('navigation', { name: 'fresh' }).getByRole('link', { name: 'Console' }).click();
	await page.getByText('Connected').waitFor();
	await page.locator('.xterm-helper-textarea').focus();
	await page.keyboard.type('echo hilum-was-here\n');
	await until('the echo', async () => /hilum-was-here/.test(await terminalText(page)));

	await page.getByRole('button', { name: 'More' }).click();
	await page.getByRole('menuitem', { name: 'Pull the plug' }).click();
	await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click();
	await page.locator('.vm-head .state.running').waitFor();
	await page.getByRole('button', { name: 'More' }).click();
	await page.getByRole('menuitem', { name: 'Pull the plug' }).click();
	await page.getByRole('dialog').getByRole('button', { name: 'Pull the plug' }).click();
	await page.locator('.vm-head .state.shutoff').waitFor();
	assert.equal((await api('GET', '/vms/fresh')).state, 'shutoff');

	await page.getByRole('button', { name: 'More' }).click();
	await page.getByRole('menuitem', { name: 'Delete' }).click();
	const dialog = page.getByRole('dialog');
	assert.ok(await dialog.getByRole('button', { name: 'Delete' }).isDisabled());
	await dialog.getByRole('textbox').fill('fresh');
	await dialog.getByRole('button', { name: 'Delete' }).click();
	await until('its end', async () => !(await api('GET', '/vms')).vms.some((vm) => vm.name === 'fresh'));
});

inPage('terminal: colours, true colours and what was shown before', {}, async (page) => {
	await makeVm('colourful', { start: true });
	await show(page, 'vms/colourful/console');
	await page.getByText('Connected').waitFor();
	await page.locator('.xterm-helper-textarea').focus();
	await page.keyboard.type('first line\n');
	await until('the first line', async () => /first line/.test(await terminalText(page)));
	await page.reload();
	await until('what was kept', async () => /first line/.test(await terminalText(page)));
	/* The sheets that xterm.js makes are in force, or its rows would have no fixed font. */
	assert.match(await page.locator('.xterm-rows').evaluate((rows) => getComputedStyle(rows).fontFamily), /mono/i);
	await page.locator('.xterm-helper-textarea').focus();
	await page.keyboard.press('Control+F6');
	assert.equal(await page.evaluate(() => document.activeElement.innerText.trim()), 'Copy');
});

inPage('terminal: true colours, links that lead nowhere, and a connection that comes back', {}, async (page) => {
	await makeVm('painted', { start: true });
	let opened = 0;
	await page.routeWebSocket(/\/console/, (socket) => {
		opened++;
		socket.send(Buffer.from('\x1b[38;2;250;120;10mcoloured\x1b[0m \x1b[48;5;33mground\x1b[0m ' +
			'\x1b]8;;https://example.org/\x07link\x1b]8;;\x07\r\n'));
		if (opened === 1)
			setTimeout(() => socket.close(), 200);
	});
	await show(page, 'vms/painted/console');
	await page.reload(); /* a page that is loaded with the route has it */
	await until('the second connection', async () => opened >= 2 && /coloured/.test(await terminalText(page)));
	assert.equal((await terminalText(page)).match(/coloured/g).length, 1, 'what is kept is not shown twice');
	const styles = await page.locator('.xterm-rows span').evaluateAll((spans) =>
		spans.map((span) => [span.textContent, getComputedStyle(span).color]));
	assert.ok(styles.some(([text, colour]) => text.includes('coloured') && colour === 'rgb(250, 120, 10)'), JSON.stringify(styles));
	page.on('dialog', () => page.complaints.push('a link asked to be followed'));
	await page.getByText('link', { exact: true }).first().click({ force: true });
	assert.equal(page.context().pages().length, 1);
});

inPage('upload: shows how far it is, and is cancelled', {}, async (page) => {
	let release;
	const held = new Promise((resolve) => { release = resolve; });
	await page.route('**/api/v1/images/held', async (route) => {
		await held;
		await route.abort();
	});
	await show(page, 'images');
	await page.getByLabel('File').setInputFiles({ ...KERNEL, name: 'held' });
	await page.getByRole('button', { name: 'Upload', exact: true }).click();
	await page.getByRole('progressbar', { name: 'Upload of held' }).waitFor();
	await page.getByText('of 3 MiB').waitFor();
	await page.getByRole('button', { name: 'Cancel' }).click();
	await page.getByText('The upload was cancelled.').waitFor();
	await page.getByRole('progressbar').waitFor({ state: 'detached' });
	release();
	assert.ok(!(await api('GET', '/images')).images.some((image) => image.name === 'held' && image.complete));
});

inPage('form: what the server finds wrong stands at its field', {}, async (page) => {
	await makeVm('present');
	await show(page, 'create');
	await page.getByRole('button', { name: 'Create', exact: true }).click();
	await page.locator('[data-field=name] .error').waitFor();
	await page.getByLabel('Name').fill('wrong');
	await page.getByLabel('Kernel').fill('bzImage');
	await page.getByLabel('Memory', { exact: true }).fill('3M');
	await page.getByRole('button', { name: 'Create', exact: true }).click();
	await page.locator('[data-field=memory] .error', { hasText: '2M' }).waitFor();
	const memory = page.getByLabel('Memory', { exact: true });
	assert.equal(await memory.getAttribute('aria-invalid'), 'true');
	assert.ok(await memory.evaluate((input) => input === document.activeElement));
	await memory.fill('64M');
	await page.getByRole('button', { name: 'Add a disk' }).click();
	await page.getByRole('button', { name: 'Create', exact: true }).click();
	await page.locator('[data-field^="disk[0]"] .error, [data-field="disk[0]"] > .error').first().waitFor();
	await page.locator('[data-field="disk[0].module"] input').fill('bzImage');
	await page.getByText('More settings of this disk').click();
	await page.locator('[data-field="disk[0].num_queues"] input').fill('99');
	await page.getByText('More settings of this disk').click();
	await page.getByRole('button', { name: 'Create', exact: true }).click();
	await page.locator('[data-field="disk[0].num_queues"] .error').waitFor();
	await page.locator('[data-field="disk[0].num_queues"] input').fill('2');
	await page.getByRole('button', { name: 'Add a channel' }).click();
	await page.locator('[data-field="channel[0].name"] input').fill('between');
	await page.locator('[data-field="channel[0].peer"] input').fill('present');
	await page.locator('[data-field="channel[0].size"] input').fill('12K');
	await page.getByRole('button', { name: 'Create', exact: true }).click();
	await page.locator('[data-field="channel[0].size"] .error', { hasText: 'power of two' }).waitFor();
	await page.locator('[data-field="channel[0].size"] input').fill('64K');
	await page.getByLabel('Name').fill('present');
	await page.getByRole('button', { name: 'Create', exact: true }).click();
	await page.locator('[data-field=name] .error', { hasText: 'already' }).waitFor();
	assert.ok(!(await api('GET', '/vms')).vms.some((vm) => vm.name === 'wrong'));
	page.on('dialog', (dialog) => dialog.accept());
});

inPage('definition: a change is saved, and not over somebody else\'s', {}, async (page) => {
	await makeVm('changed', { cmdline: 'quiet' });
	await show(page, 'vms/changed/definition');
	await page.getByLabel('Command line').fill('console=ttyS0');
	await page.getByRole('button', { name: 'Save' }).click();
	await until('the change', async () => (await api('GET', '/vms/changed')).config.cmdline === 'console=ttyS0');
	await page.getByRole('button', { name: 'Save' }).and(page.locator(':disabled')).waitFor();
	await page.getByLabel('Command line').fill('mine');
	await api('PUT', '/vms/changed', { kernel: 'bzImage', memory: '64M', cmdline: 'theirs' });
	await page.getByText('Somebody else has changed this definition meanwhile').waitFor();
	await page.getByRole('button', { name: 'Save' }).click();
	await page.locator('.form-error').waitFor();
	assert.equal((await api('GET', '/vms/changed')).config.cmdline, 'theirs');
	await page.getByRole('button', { name: 'Load it again' }).click();
	assert.equal(await page.getByLabel('Command line').inputValue(), 'theirs');
});

inPage('events, log, audit: they show what happened, live', {}, async (page) => {
	await makeVm('eventful');
	await show(page, 'events');
	await page.getByText('Live').waitFor();
	const rows = page.locator('main tbody tr', { hasText: 'eventful' });
	const count = await rows.count();
	await api('POST', '/vms/eventful/boot');
	await until('the event', async () => await rows.count() > count);
	await show(page, 'log');
	await page.getByText('Live').waitFor();
	await until('lines', async () => (await page.locator('.log').innerText()).trim().length > 0);
	await show(page, 'audit');
	await page.locator('main tbody tr', { hasText: '/api/v1/vms/eventful/boot' }).first().waitFor();
});

inPage('tokens: a new one is shown once, works, and is withdrawn', {}, async (page) => {
	await show(page, 'tokens');
	await page.getByLabel('Name').fill('dashboard');
	await page.getByLabel('Role').selectOption('viewer');
	await page.getByRole('button', { name: 'Make the token' }).click();
	const secret = await page.locator('.secret').innerText();
	assert.match(secret, /^hilum_[\w-]{43}$/);
	assert.equal((await ask(simulator.base, secret, 'GET', '/whoami')).role, 'viewer');
	await page.getByRole('button', { name: 'Done' }).click();
	await page.getByRole('button', { name: 'Withdraw dashboard' }).click();
	await page.getByRole('dialog').getByRole('button', { name: 'Withdraw' }).click();
	const headers = { Authorization: `Bearer ${secret}` };
	await until('its end', async () => (await fetch(`${simulator.base}/api/v1/whoami`, { headers })).status === 401);
});

inPage('keyboard alone: log in, skip link, tree, pages, menu, dialog', { role: '' }, async (page) => {
	await makeVm('walked', { start: true });
	const focused = () => page.evaluate(() => document.activeElement.innerText?.trim() || document.activeElement.id);
	const ringed = () => page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle !== 'none');
	const press = async (...keys) => {
		for (const key of keys)
			await page.keyboard.press(key);
	};
	const tabTo = async (text) => {
		for (let steps = 0; steps < 80; steps++) {
			await press('Tab');
			if ((await focused()).startsWith(text))
				return assert.ok(await ringed(), `${text} shows that it has the focus`);
		}
		assert.fail(`Tab does not reach "${text}"`);
	};
	await until('the field has the focus', async () => await focused() === 'token');
	await page.keyboard.type(simulator.token);
	await press('Enter');
	await page.locator('.tree .vms a', { hasText: 'walked' }).waitFor();
	await page.evaluate(() => document.activeElement.blur());
	await press('Tab');
	assert.equal(await focused(), 'Skip to the page');
	await press('Enter');
	assert.equal(await page.evaluate(() => document.activeElement.id), 'content');
	await page.evaluate(() => document.activeElement.blur());
	await tabTo('Host');
	await press('ArrowDown');
	for (let steps = 0; steps < 40 && !(await focused()).includes('walked'); steps++)
		await press('ArrowDown');
	await press('Enter');
	await page.locator('.vm-head h1', { hasText: 'walked' }).waitFor();
	await page.getByRole('button', { name: 'More' }).waitFor();
	await until('the page has the focus', async () => await page.evaluate(() => document.activeElement.id) === 'content');
	await tabTo('More');
	await press('Enter');
	await until('the menu has the focus', async () => await focused() === 'Press power button');
	await press('End');
	assert.equal(await focused(), 'Pull the plug');
	await press('Escape');
	assert.equal(await focused(), 'More');
	await press('ArrowDown', 'End', 'Enter');
	await page.getByRole('dialog').waitFor();
	/* The focus begins at the harmless button and stays in the dialog. */
	assert.equal(await focused(), 'Cancel');
	for (let steps = 0; steps < 6; steps++) {
		await press('Tab');
		assert.ok(await page.evaluate(() => document.activeElement === document.body || !!document.activeElement.closest('dialog')));
	}
	await press('Escape');
	await page.getByRole('dialog').waitFor({ state: 'detached' });
	assert.equal(await focused(), 'More');
	assert.equal((await api('GET', '/vms/walked')).state, 'running');
});

inPage('narrow: no page scrolls sideways, the tree is a drawer', { ...NARROW, role: '' }, async (page) => {
	await makeVm('narrow', { start: true, disk: [{ module: 'bzImage' }], nic: [{}] });
	assert.ok(!await page.evaluate(() => document.documentElement.scrollWidth > innerWidth), 'log-in');
	await logIn(page, simulator.token);
	for (const path of ['', 'vms/narrow', 'vms/narrow/console', 'vms/narrow/definition', 'vms/narrow/events', 'create', 'images',
		'events', 'log', 'audit', 'tokens']) {
		await show(page, path);
		await page.locator('main h1').waitFor();
		await page.waitForTimeout(300);
		assert.ok(!await scrollsSideways(page), `"${path}" scrolls sideways`);
	}
	assert.ok(!await page.locator('.tree a').first().isVisible());
	await page.getByRole('button', { name: 'Menu' }).click();
	await page.locator('.tree a', { hasText: 'narrow' }).click();
	await page.locator('.vm-head h1', { hasText: 'narrow' }).waitFor();
	await page.locator('.tree a').first().waitFor({ state: 'hidden' });
});

inPage('dark: as the computer is set, and as chosen', { colorScheme: 'dark' }, async (page) => {
	const ground = () => page.evaluate(() => {
		const [red, green, blue] = getComputedStyle(document.body).backgroundColor.match(/\d+/g).map(Number);
		return red + green + blue;
	});
	assert.ok(await ground() < 200, 'dark as the computer');
	await page.getByRole('button', { name: /^Colours/ }).click();
	await until('light as chosen', async () => await ground() > 600);
	await page.reload();
	await page.locator('#content h1').waitFor();
	assert.ok(await ground() > 600, 'the choice is kept');
	await page.getByRole('button', { name: /^Colours/ }).click();
	await until('dark as chosen', async () => await ground() < 200);
});

inPage('connection: the page says when Hilum does not answer, and goes on when it does', {}, async (page) => {
	await page.route('**/api/v1/**', (route) => route.abort());
	await page.getByText('Hilum does not answer.').first().waitFor();
	await page.unroute('**/api/v1/**');
	await page.getByRole('button', { name: 'Try now' }).click();
	await page.getByText('Hilum does not answer.').first().waitFor({ state: 'detached' });
	page.complaints.length = 0; /* the browser names each request that was cut off */
});

test('policy: every file is served with it, compressed, and nothing is inline', async () => {
	for (const path of ['/', '/main.js', '/main.css']) {
		const response = await fetch(simulator.base + path);
		assert.equal(response.status, 200, path);
		const policy = response.headers.get('content-security-policy');
		for (const rule of ["default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"])
			assert.ok(policy.includes(rule), `${path}: ${rule}`);
		assert.ok(!/unsafe/.test(policy));
		assert.equal(response.headers.get('content-encoding'), 'gzip');
		const text = await response.text();
		if (path === '/')
			assert.ok(!/<style|style=|<script(?![^>]*src=)|\son\w+=/.test(text));
	}
});

// The last one: it ends all VMs of the simulator.
inPage('host: the machine is switched off when that is confirmed, and only then', {}, async (page) => {
	const ends = async () => (await api('GET', '/events')).events.filter(({ kind }) => kind === 'host.end').map(({ message }) => message);
	await show(page, 'host');
	await page.getByRole('button', { name: 'Reboot …' }).click();
	await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click();
	await page.getByRole('button', { name: 'Switch off …' }).click();
	await page.getByRole('dialog').getByRole('button', { name: 'Switch off', exact: true }).click();
	await page.getByText('The machine is switched off as soon as its VMs have ended.').waitFor();
	assert.deepEqual(await ends(), ['poweroff, VMs had 60 s']);
});

inPage('host: an operator finds no button that ends it', { role: 'operator' }, async (page) => {
	await show(page, 'host');
	await page.getByRole('button', { name: 'Restart the driver VM' }).waitFor();
	assert.equal(await page.getByRole('button', { name: 'Reboot …' }).count(), 0);
});
