// Figures of a VM: what it is, and plots of what it does.
import { html, useState } from '../lib/html.js';
import { historyOf } from '../samples.js';
import { formatBytes, formatRate, formatCount, formatPercent, formatDuration, formatTime, plural } from '../lib/format.js';
import { Plot } from '../ui/plot.js';
import { Table } from '../ui/table.js';
import { Facts } from './host.js';

const SPANS = [[300, '5 min'], [900, '15 min'], [3600, '1 h']];

const shortBytes = (value) => value === null ? '–' : formatBytes(value);
const counts = (value) => value === null ? '–' : `${formatCount(value)}/s`;

const PLOTS = [
	{ title: 'CPU', format: formatPercent, ceiling: 100, series: [{ key: 'cpu', label: 'used', hue: '--hue-1' },
		{ key: 'wait', label: 'waiting', hue: '--hue-3' }] },
	{ title: 'Memory', format: shortBytes, floorCeiling: 1 << 20, binary: true, series: [
		{ key: 'memory', label: 'has', hue: '--hue-2' }, { key: 'balloon', label: 'balloon', hue: '--hue-3' }] },
	{ title: 'Network', format: formatRate, floorCeiling: 1024, binary: true, series: [{ key: 'netIn', label: 'in', hue: '--hue-1' },
		{ key: 'netOut', label: 'out', hue: '--hue-4' }] },
	{ title: 'Disk', format: formatRate, floorCeiling: 1024, binary: true, series: [{ key: 'diskRead', label: 'read', hue: '--hue-2' },
		{ key: 'diskWrite', label: 'written', hue: '--hue-4' }] },
	{ title: 'Exits', format: counts, floorCeiling: 10, series: [{ key: 'exits', label: 'exits', hue: '--hue-5' },
		{ key: 'interrupts', label: 'interrupts', hue: '--hue-3' }] },
];

function Reasons({ reasons }) {
	const top = reasons.slice(0, 6);
	const most = top[0]?.rate || 1;
	return html`<figure class="plot" data-plot="Exits by reason"><figcaption><span class="plot-title">Exits by reason</span>
		</figcaption>
		<table class="bars"><tbody>${top.map(({ reason, rate }) => html`<tr key=${reason}><th scope="row">${reason}</th>
			<td><svg viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">
			<rect width=${100 * rate / most} height="6"/></svg></td>
			<td class="number">${counts(rate)}</td></tr>`)}</tbody></table>
		${!top.length && html`<p class="empty">No figures yet</p>`}</figure>`;
}

function cpus(config) {
	if (!config.cpus)
		return 'any core';
	return `cores ${Array.isArray(config.cpus) ? config.cpus.join(', ') : config.cpus}`;
}

function share(config) {
	const limits = [config.cap && `cap ${config.cap} %`, config.reservation && `${config.reservation} % reserved`, config.dedicated && 'dedicated'];
	return limits.filter(Boolean).map((limit) => `, ${limit}`).join('');
}

function factsOf(vm) {
	const { config, stats } = vm;
	const memory = stats?.memory;
	return [
		['Boots', html`<span class="mono">${config.kernel}${config.initrd ? `, ${config.initrd}` : ''}</span>`],
		['Memory', formatBytes(memory?.bytes ?? vm.memory_bytes)],
		['Processors', `${plural(vm.vcpus, 'vCPU', 'vCPUs')}, ${cpus(config)}, weight ${config.weight ?? 256}${share(config)}`],
		['Disks and cards', `${plural((config.disk || []).length, 'disk', 'disks')}, ${plural((config.nic || []).length, 'card', 'cards')}`],
		['Started', vm.started ? formatTime(vm.started) : 'not yet'],
		['Up', vm.uptime_seconds ? formatDuration(vm.uptime_seconds) : '–'],
		['Last end', vm.last_exit || 'none yet'],
		['Starts, crashes', `${vm.starts}, ${vm.crashes}`],
		['Defined by', vm.from_file ? 'hilum.toml' : 'an operator'],
		['Kept by Hilum', memory ? `${formatBytes(memory.kernel_bytes + memory.table_bytes)} beside its memory` : null],
	];
}

const NIC_COLUMNS = [
	{ label: 'Card', kind: 'mono', cell: (nic) => nic.mac },
	{ label: 'Received', kind: 'number', cell: (nic) => formatBytes(nic.rx_bytes) },
	{ label: 'Sent', kind: 'number', cell: (nic) => formatBytes(nic.tx_bytes) },
	{ label: 'Dropped', kind: 'number', cell: (nic) => nic.rx_dropped },
	{ label: 'Refused', kind: 'number', cell: (nic) => nic.tx_refused },
];

function diskColumns(config) {
	const medium = ({ module, device }) => module || device || '';
	return [
		{ label: 'Disk', kind: 'mono', cell: (disk, index) => `vd${String.fromCharCode(97 + index)}` },
		{ label: 'Medium', kind: 'mono', cell: (disk, index) => medium(config.disk?.[index] || {}) },
		{ label: 'Read', kind: 'number', cell: (disk) => formatBytes(disk.read_bytes) },
		{ label: 'Written', kind: 'number', cell: (disk) => formatBytes(disk.write_bytes) },
		{ label: 'Flushes', kind: 'number', cell: (disk) => disk.flush_requests },
		{ label: 'Errors', kind: 'number', cell: (disk) => disk.errors },
	];
}

export function Summary({ vm }) {
	const [span, setSpan] = useState(SPANS[0][0]);
	const history = historyOf(vm.name);
	const { stats } = vm;
	return html`<section class="card"><h2 class="hidden-text">Facts</h2><${Facts} rows=${factsOf(vm)}/></section>
		<div class="plots-head"><h2>Activity</h2><span class="spacer"></span>
			<div class="segments" role="group" aria-label="Time shown">
			${SPANS.map(([seconds, label]) => html`<button type="button"
				aria-pressed=${String(span === seconds)} onClick=${() => setSpan(seconds)}>${label}</button>`)}</div></div>
		<div class="plots">
			${PLOTS.map((plot) => html`<${Plot} key=${vm.name + plot.title} ...${plot} history=${history} span=${span}/>`)}
			<${Reasons} reasons=${history.reasons || []}/>
		</div>
		${stats?.disks?.length > 0 && html`<section class="card"><h2>Disks</h2>
			<${Table} columns=${diskColumns(vm.config)} rows=${stats.disks} keyOf=${(disk, index) => index}/>
			</section>`}
		${stats?.nics?.length > 0 && html`<section class="card"><h2>Network cards</h2>
			<${Table} columns=${NIC_COLUMNS} rows=${stats.nics} keyOf=${(nic) => nic.mac}/></section>`}`;
}
