// The console's parts that need no browser: definitions, rates, and whether the form knows every key that there is.
import test from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';

const source = new URL('../../tools/web/src/', import.meta.url);
const { formOf, configOf, emptyForm, newRow } = await import(new URL('definition.js', source));
const { VM_FIELDS, LISTS } = await import(new URL('schema.js', source));
const { countersOf, ratesOf, recordDetail, historyOf, recordList, loadOf } = await import(new URL('samples.js', source));
const format = await import(new URL('lib/format.js', source));

const FULL = {
	kernel: 'vmlinuz', initrd: 'initrd', cmdline: 'console=ttyS0', memory: '512M', vcpus: 2, weight: 512, cpus: '0-3', balloon: '4M',
	prefault: false, hugepages: false, console: 'virtio', serial: false, rng: true, packed: true, on_poweroff: 'preserve',
	on_reboot: 'destroy', on_crash: 'restart', vcpus_max: 4, watchdog: 'wdat', on_watchdog: 'none', autostart: true, profile: 'bare', debug_exit: 0xf4, debug_crash: 0xf5,
	disk: [{ device: '00:04.0', readonly: true, partlabel: 'home', partition: 2, partuuid: 'x', serial: 's', num_queues: 2, iops: 5,
		bandwidth: '1MB/s',
		module: 'm' }],
	nic: [{ bridge: 'lab', mac: '02:00:00:00:00:01', ip: ['10.0.0.5', 'fd00::5'], rate: '1Mb/s', vlan: 7, trunk: true, tenant: 't',
		spoof: true, mtu: 1400,
		num_queues: 2, offload: false }],
	channel: [{ name: 'shared', peer: 'other', size: '4K' }],
};

function documentedKeys(heading) {
	const text = readFileSync(new URL('../../docs/configuration.md', import.meta.url), 'utf8');
	const section = text.split(new RegExp(`^#+ ${heading.replace(/[[\]]/g, '\\$&')}$`, 'm'))[1].split(/^#/m)[0];
	return [...section.matchAll(/^\| `(\w+)` \|/gm)].map((row) => row[1]).sort();
}

test('schema: the form has exactly the keys that docs/configuration.md has', () => {
	const keys = (fields) => fields.map((field) => field.key).sort();
	assert.deepEqual(['name', ...keys(VM_FIELDS)].sort(), documentedKeys('`[[vm]]`'));
	for (const { key, fields } of LISTS)
		assert.deepEqual(keys(fields), documentedKeys(`\`[[vm.${key}]]\``));
});

test('schema: every field is explained', () => {
	for (const field of [...VM_FIELDS, ...LISTS.flatMap(({ fields }) => fields)])
		assert.ok(field.label && /\.$/.test(field.help), field.key);
});

test('definition: what a form shows is what it sends', () => {
	assert.deepEqual(configOf(formOf(FULL), FULL), FULL);
});

test('definition: an untouched form sends nothing, defaults stay defaults', () => {
	assert.deepEqual(configOf(emptyForm()), {});
	assert.deepEqual(configOf(formOf({ kernel: 'k', serial: true, on_crash: 'destroy' })), { kernel: 'k' });
	assert.deepEqual(configOf({ ...emptyForm(), disk: [newRow('disk')] }), { disk: [{}] });
});

test('definition: keys that the form does not know are kept', () => {
	const config = { kernel: 'k', later: 1, disk: [{ module: 'm', later: 2 }] };
	assert.deepEqual(configOf(formOf(config), config), config);
});

test('definition: what is no number goes to the server as it was typed', () => {
	const form = { ...emptyForm(), kernel: 'k', vcpus: 'two', memory: '536870912', debug_exit: '0xf4', cpus: '0-3, 6' };
	assert.deepEqual(configOf(form), { kernel: 'k', vcpus: 'two', memory: 536870912, debug_exit: 0xf4, cpus: '0-3,6' });
});

function vmWith(run, exits) {
	return { name: 'v', vcpus: 2, stats: { vcpus: [{ run_ns: run, ready_ns: 0, interrupts: 1, exits: { cpuid: exits } }],
		memory: { bytes: 5, balloon_bytes: 0 },
		disks: [], nics: [] } };
}

test('samples: counters become rates, and a restart leaves a gap', () => {
	assert.equal(countersOf(vmWith(5, 3).stats)['exit.cpuid'], 3);
	assert.equal(ratesOf({ a: 10 }, { a: 30 }, 2).a, 10);
	assert.equal(ratesOf({ a: 10 }, { a: 3 }, 2).a, null);
	recordDetail(vmWith(0, 0), 1000, 1);
	recordDetail(vmWith(2e9, 200), 3000, 3);
	recordDetail(vmWith(1, 1), 5000, 5);
	const { t, series, reasons } = historyOf('v');
	assert.deepEqual(t, [3, 5]);
	assert.equal(series.cpu[0], 50);
	assert.equal(series.exits[0], 100);
	assert.equal(series.cpu[1], null);
	assert.deepEqual(reasons, []);
});

test('samples: all series have as many points as there are times', () => {
	for (let round = 0; round < 2000; round++)
		recordDetail({ ...vmWith(round * 1e6, round), name: 'long' }, 2000 * round, 2 * round);
	const { t, series } = historyOf('long');
	assert.equal(t.length, 1800);
	for (const values of Object.values(series))
		assert.equal(values.length, t.length);
});

test('samples: the load of a VM of the list, forgotten with it', () => {
	const vm = { name: 'l', state: 'running', vcpus: 2, cpu_ns: 0 };
	recordList([vm], 0);
	assert.equal(loadOf('l'), null);
	recordList([{ ...vm, cpu_ns: 1e9 }], 1000);
	assert.equal(loadOf('l'), 50);
	recordList([], 2000);
	assert.equal(loadOf('l'), null);
});

test('format: numbers as people read them', () => {
	assert.equal(format.formatBytes(0), '0 B');
	assert.equal(format.formatBytes(536870912), '512 MiB');
	assert.equal(format.formatBytes(1536), '1.5 KiB');
	assert.equal(format.formatDuration(93784), '1 d 2 h');
	assert.equal(format.formatDuration(59), '59 s');
	assert.equal(format.formatCount(1234567), '1.23 M');
	assert.equal(format.formatTime('never'), '–');
	assert.equal(format.formatPercent(null), '–');
});
