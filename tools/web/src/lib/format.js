// Numbers and times as people read them. Pure: no document, no clock but the one passed in.

const BINARY = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
const DECIMAL = ['', 'k', 'M', 'G', 'T'];

function scaled(value, step, units) {
	let unit = 0;
	while (Math.abs(value) >= step && unit < units.length - 1) {
		value /= step;
		unit++;
	}
	const digits = unit === 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2;
	return [Number(value.toFixed(digits)).toString(), units[unit]];
}

export function formatBytes(bytes) {
	if (bytes === undefined || bytes === null)
		return '–';
	const [number, unit] = scaled(bytes, 1024, BINARY);
	return `${number} ${unit}`;
}

export function formatRate(bytesPerSecond) {
	return bytesPerSecond === null || bytesPerSecond === undefined ? '–' : `${formatBytes(bytesPerSecond)}/s`;
}

export function formatCount(value) {
	if (value === undefined || value === null)
		return '–';
	const [number, unit] = scaled(value, 1000, DECIMAL);
	return unit ? `${number} ${unit}` : number;
}

export function formatPercent(value) {
	return value === null || value === undefined ? '–' : `${value.toFixed(value && value < 10 ? 1 : 0)} %`;
}

// 93784 -> "1 d 2 h"; the two largest units that are not zero.
export function formatDuration(seconds) {
	if (seconds === undefined || seconds === null)
		return '–';
	const parts = [];
	let rest = Math.floor(seconds);
	for (const [size, unit] of [[86400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']]) {
		const count = Math.floor(rest / size);
		rest -= count * size;
		if (count)
			parts.push(`${count} ${unit}`);
	}
	return parts.slice(0, 2).join(' ') || '0 s';
}

// An RFC 3339 time in the reader's own zone, with seconds: "2026-03-01 14:03:22".
export function formatTime(text) {
	const time = new Date(text);
	if (!text || Number.isNaN(time.getTime()))
		return '–';
	const two = (number) => String(number).padStart(2, '0');
	return `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())} ` +
		`${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
}

export function formatHertz(hertz) {
	return hertz ? `${(hertz / 1e9).toFixed(2)} GHz` : '–';
}

export function plural(count, one, many) {
	return `${count} ${count === 1 ? one : many}`;
}
