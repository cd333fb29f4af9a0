// History for the plots, kept in the page: counters that grow become rates, one point for each poll. Pure, but for what it keeps.

const KEPT = 1800; /* an hour at a poll each two seconds */

/* name -> { t: [seconds], series: { key: [number or null] }, last: { at, counters } } */
const histories = new Map();
/* name -> { at, cpuNs, percent }: for the list */
const loads = new Map();

function sum(items, pick) {
	return (items || []).reduce((total, item) => total + (pick(item) || 0), 0);
}

// Everything of a VM's stats that only grows, in one flat object; exits by reason as "exit.cpuid".
export function countersOf(stats) {
	const counters = {
		run: sum(stats.vcpus, (vcpu) => vcpu.run_ns),
		ready: sum(stats.vcpus, (vcpu) => vcpu.ready_ns),
		diskRead: sum(stats.disks, (disk) => disk.read_bytes),
		diskWrite: sum(stats.disks, (disk) => disk.write_bytes),
		netIn: sum(stats.nics, (nic) => nic.rx_bytes),
		netOut: sum(stats.nics, (nic) => nic.tx_bytes),
		interrupts: sum(stats.vcpus, (vcpu) => vcpu.interrupts),
	};
	for (const vcpu of stats.vcpus || [])
		for (const [reason, count] of Object.entries(vcpu.exits || {}))
			counters[`exit.${reason}`] = (counters[`exit.${reason}`] || 0) + count;
	return counters;
}

// Rates a second between two states of the counters; null where one went back (the VM was started again).
export function ratesOf(before, after, seconds) {
	const rates = {};
	for (const [key, value] of Object.entries(after)) {
		const delta = value - (before[key] || 0);
		rates[key] = seconds > 0 && delta >= 0 ? delta / seconds : null;
	}
	return rates;
}

function point(vm, rates) {
	const share = (rate) => rate === null ? null : Math.min(100, rate / 1e7 / (vm.vcpus || 1));
	const exits = Object.entries(rates).filter(([key]) => key.startsWith('exit.'));
	const memory = vm.stats.memory || {};
	return {
		cpu: share(rates.run), wait: share(rates.ready),
		memory: memory.bytes ?? null, balloon: memory.balloon_bytes ?? null,
		diskRead: rates.diskRead, diskWrite: rates.diskWrite, netIn: rates.netIn, netOut: rates.netOut,
		exits: exits.reduce((total, [, rate]) => rate === null ? total : total + rate, 0), interrupts: rates.interrupts,
	};
}

function append(history, seconds, values) {
	history.t.push(seconds);
	for (const [key, value] of Object.entries(values))
		(history.series[key] ||= new Array(history.t.length - 1).fill(null)).push(value);
	if (history.t.length > KEPT) {
		history.t.shift();
		for (const series of Object.values(history.series))
			series.shift();
	}
}

const EMPTY = { cpu: null, wait: null, memory: null, balloon: null, diskRead: null, diskWrite: null, netIn: null, netOut: null, exits: null,
	interrupts: null };

// One poll of a VM, at `now` milliseconds of a clock that never goes back.
export function recordDetail(vm, now, seconds = Date.now() / 1000) {
	let history = histories.get(vm.name);
	if (!history)
		histories.set(vm.name, history = { t: [], series: {}, last: null, reasons: [] });
	if (!vm.stats) {
		if (history.last)
			append(history, seconds, EMPTY);
		history.last = null;
		history.reasons = [];
		return;
	}
	const counters = countersOf(vm.stats);
	const { last } = history;
	if (last && now - last.at > 10000)
		append(history, seconds - 1, EMPTY); /* nobody looked: a gap, not a line */
	if (last && now > last.at) {
		const rates = ratesOf(last.counters, counters, (now - last.at) / 1000);
		append(history, seconds, point(vm, rates));
		history.reasons = Object.entries(rates).filter(([key, rate]) => key.startsWith('exit.') && rate > 0)
			.map(([key, rate]) => ({ reason: key.slice(5), rate })).sort((a, b) => b.rate - a.rate);
	}
	history.last = { at: now, counters };
}

// { t, series, reasons } of a VM; arrays of equal length.
export function historyOf(name) {
	return histories.get(name) || { t: [], series: {}, reasons: [] };
}

export function recordList(list, now) {
	for (const vm of list) {
		const last = loads.get(vm.name);
		let percent = null;
		if (vm.state === 'running' && last && last.cpuNs !== null && vm.cpu_ns >= last.cpuNs && now > last.at)
			percent = Math.min(100, (vm.cpu_ns - last.cpuNs) / (now - last.at) / 1e4 / (vm.vcpus || 1));
		loads.set(vm.name, { at: now, cpuNs: vm.cpu_ns ?? null, percent });
	}
	for (const name of [...loads.keys()])
		if (!list.some((vm) => vm.name === name)) {
			loads.delete(name);
			histories.delete(name);
		}
}

// Share of its vCPUs that a VM used between the last two polls, percent; null: not known.
export function loadOf(name) {
	return loads.get(name)?.percent ?? null;
}
