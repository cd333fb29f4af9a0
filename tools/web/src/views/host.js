// The host: what it is, how it does, and its driver VM.
import { html, useState } from '../lib/html.js';
import { useStore } from '../lib/store.js';
import { allowed } from '../lib/session.js';
import { link } from '../lib/router.js';
import { post } from '../lib/api.js';
import { host, vms, refresh } from '../poll.js';
import { loadOf } from '../samples.js';
import { formatBytes, formatDuration, formatHertz, formatPercent, formatTime, plural } from '../lib/format.js';
import { confirmAction } from '../ui/dialog.js';
import { notify, complain } from '../ui/toast.js';
import { Table } from '../ui/table.js';
import { StateBadge } from './shell.js';
import { Certificate } from './certificate.js';

export function Facts({ rows, class: more = '' }) {
	const known = rows.filter(([, value]) => value !== null && value !== undefined);
	return html`<dl class=${`facts ${more}`}>${known.map(([label, value]) => html`<div><dt>${label}</dt><dd>${value}</dd></div>`)}</dl>`;
}

async function restartDriver() {
	const agreed = await confirmAction({
		title: 'Restart the driver VM?', action: 'Restart',
		text: 'Guests keep running. They wait for their disks and networks for a moment, and nothing that was acknowledged is lost.',
	});
	if (!agreed)
		return;
	try {
		await post('/driver/restart');
		notify('The driver VM restarts.');
		refresh({ withHost: true });
	} catch (problem) {
		complain(problem);
	}
}

// 'reboot' or 'poweroff'
async function endMachine(how) {
	const reboots = how === 'reboot';
	const agreed = await confirmAction({
		title: reboots ? 'Reboot the machine?' : 'Switch the machine off?', action: reboots ? 'Reboot' : 'Switch off', danger: true,
		text: `All VMs are shut down first; those that still run after a minute are ended. ${reboots ?
			'Those that start with the machine come back with it.' : 'Somebody has to switch it on again.'}`,
	});
	if (!agreed)
		return;
	try {
		await post(`/host/${how}`);
		notify(reboots ? 'The machine reboots as soon as its VMs have ended.' : 'The machine is switched off as soon as its VMs have ended.');
		refresh({ withHost: true });
	} catch (problem) {
		complain(problem);
	}
}

function Memory({ memory }) {
	const { total_bytes: total, free_bytes: free, hilum_bytes: own } = memory;
	const guests = Math.max(0, total - free - own);
	return html`<section class="card"><h2>Memory</h2>
		<svg class="stack" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true">
			<rect width="100" height="4" class="free"/><rect width=${(own + guests) / total * 100} height="4" class="guests"/>
			<rect width=${own / total * 100} height="4" class="own"/></svg>
		<ul class="legend"><li class="own"><i></i>Hilum <b>${formatBytes(own)}</b></li><li class="guests"><i></i>in use <b>
		${formatBytes(guests)}</b></li>
			<li class="free"><i></i>free <b>${formatBytes(free)}</b></li><li>of <b>${formatBytes(total)}</b></li></ul>
		<${Facts} rows=${[['Spare for further VMs', formatBytes(memory.spare_bytes)], ['Largest free block', formatBytes(memory.largest_free_bytes)],
			['Overcommit', memory.overcommit_percent > 100 ? `${memory.overcommit_percent} %` : 'off'],
			['Saved by sharing', memory.pages_scanned ? formatBytes(memory.saved_bytes) : null]]}/></section>`;
}

const DRIVER_STATES = { running: 'running', restarting: 'restarting', lost: 'given up after too many crashes' };

function Driver({ machine }) {
	const { state, restarts } = machine.driver_vm;
	return html`<section class="card"><h2>Driver VM</h2>
		<${Facts} rows=${[['State', DRIVER_STATES[state] || state], ['Restarts', restarts],
			['Accesses stopped by the IOMMU', machine.device_faults]]}/>
		${allowed('operator') && html`<button type="button" onClick=${restartDriver}>Restart the driver VM</button>`}</section>`;
}

function Health({ machine }) {
	const { faults, last_boot: last } = machine;
	return html`<section class="card"><h2>Health</h2>
		<${Facts} rows=${[['Restarts of the control VM', machine.control_vm.restarts], ['NMIs', faults.nmis],
			['Interrupts nobody asked for', faults.spurious_interrupts], ['Devices cut off for too many', faults.interrupt_storms],
			['Machine checks, corrected', faults.machine_checks_corrected], ['Machine checks that ended a VM', faults.machine_checks_contained],
			['Watchdog', machine.watchdog_seconds ? `resets the machine after ${machine.watchdog_seconds} s` : 'none'],
			['Last run ended by', last.reason]]}/>
		${last.log && html`<details class="more"><summary>Its last lines</summary><pre class="mono">${last.log}</pre></details>`}</section>`;
}

const DEFENCE_COLUMNS = [
	{ label: 'Vulnerability', kind: 'mono', cell: ([name]) => name },
	{ label: 'State', cell: ([, state]) => state },
];

function Defences({ vulnerabilities }) {
	return html`<section class="card wide"><h2>The processor's vulnerabilities</h2>
		<${Table} columns=${DEFENCE_COLUMNS} rows=${Object.entries(vulnerabilities)} keyOf=${([name]) => name}/></section>`;
}

const VM_COLUMNS = [
	{ label: 'Name', cell: (vm) => html`<a href=${link('vms', vm.name)}>${vm.name}</a>` },
	{ label: 'State', cell: (vm) => html`<${StateBadge} state=${vm.state}/>` },
	{ label: 'CPU', kind: 'number', cell: (vm) => formatPercent(vm.state === 'running' ? loadOf(vm.name) : null) },
	{ label: 'vCPUs', kind: 'number', cell: (vm) => vm.vcpus },
	{ label: 'Memory', kind: 'number', cell: (vm) => formatBytes(vm.memory_bytes) },
	{ label: 'Up', kind: 'number', cell: (vm) => vm.uptime_seconds ? formatDuration(vm.uptime_seconds) : '–' },
];

function Machines({ list }) {
	const how = allowed('admin') ? html`<a href=${link('create')}>Create the first</a>.` : 'An administrator can create one.';
	return html`<section class="card wide"><h2>Virtual machines</h2>
		${list && !list.length && html`<p class="empty">There is none yet. ${how}</p>`}
		${list && list.length > 0 && html`<${Table} columns=${VM_COLUMNS} rows=${list} keyOf=${(vm) => vm.name}/>`}</section>`;
}

export function HostPage() {
	const machine = useStore(host);
	const list = useStore(vms);
	const [dialog, setDialog] = useState(false);
	if (!machine)
		return html`<h1>Host</h1><p class="empty" role="status">Loading …</p>`;
	return html`<h1>${machine.name}</h1>
		${!machine.state_kept && html`<p class="notice warn">Nothing is kept on this machine: definitions, tokens and the certificate made here are lost
			when it restarts. Give it a GPT partition labelled "hilum-state" to keep them.</p>`}
		${!machine.iommu && html`<p class="notice warn">This machine has no IOMMU in use: its devices, and so the driver VM, could reach all memory.</p>`}
		<div class="cards">
			<div class="column"><section class="card"><h2>Machine</h2><${Facts} rows=${[
				['Processor', machine.cpu], ['Cores', `${machine.cores} at ${formatHertz(machine.tsc_hz)}`],
				['IOMMU', machine.iommu ? 'in use' : 'none'],
				['Interrupt remapping', machine.interrupt_remapping ? 'in use' : 'none'],
				['Version', machine.version], ['Up', formatDuration(machine.uptime_seconds)],
				['Started by', machine.boot_reason],
				['Its clock', formatTime(machine.time)], ['VMs', `${plural(machine.vms.running, 'runs', 'run')}, ${machine.vms.defined} defined`]]}/>
				${allowed('admin') && html`<button type="button" onClick=${() => endMachine('reboot')}>Reboot …</button>
				<button type="button" onClick=${() => endMachine('poweroff')}>Switch off …</button>`}</section>
				<${Health} machine=${machine}/></div>
			<div class="column"><${Memory} memory=${machine.memory}/><${Driver} machine=${machine}/></div>
			<section class="card wide"><h2>Reaching it</h2><${Facts} class="two" rows=${[
				['Addresses', html`<span class="mono">${machine.addresses.join(', ') || 'none'}</span>`],
				['Certificate', html`<span class="mono fingerprint">
					${machine.fingerprint || 'none: this connection is not encrypted'}</span>`]]}/>
				<p class="help">Compare the fingerprint with the one on the machine's screen and the one that your browser shows.</p>
				${allowed('admin') && html`<button type="button"
					onClick=${() => setDialog(true)}>Change the certificate</button>`}
				${dialog && html`<${Certificate} onClose=${() => setDialog(false)}/>`}</section>
			<${Machines} list=${list}/>
			<${Defences} vulnerabilities=${machine.vulnerabilities}/>
		</div>`;
}
