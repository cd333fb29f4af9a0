// Between a definition (JSON, as the API has it) and what a form holds: strings for what is typed, booleans for boxes. Pure.
import { VM_FIELDS, DISK_FIELDS, NIC_FIELDS } from './schema.js';

function toInput(field, value) {
	switch (field.kind) {
	case 'bool':
		return value === undefined ? field.fallback : value === true;
	case 'choice':
		return value === undefined ? field.fallback : String(value);
	case 'list':
	case 'cpus':
		return Array.isArray(value) ? value.join(', ') : value === undefined ? '' : String(value);
	case 'port':
		return typeof value === 'number' ? `0x${value.toString(16)}` : '';
	default:
		return value === undefined ? '' : String(value);
	}
}

/* Undefined: left out, so that the default holds. What cannot be read is sent as it is: the server says what is wrong with it. */
function fromInput(field, input) {
	if (field.kind === 'bool')
		return input === field.fallback ? undefined : input;
	if (field.kind === 'choice')
		return input === field.fallback ? undefined : input;
	const text = field.kind === 'long' ? input : input.trim();
	if (text === '')
		return undefined;
	switch (field.kind) {
	case 'integer':
		return /^-?\d+$/.test(text) ? Number(text) : text;
	case 'port':
		return /^(0x[0-9a-f]+|\d+)$/i.test(text) ? Number(text) : text;
	case 'size':
		return /^\d+$/.test(text) ? Number(text) : text;
	case 'list':
		return text.split(/[\s,]+/).filter(Boolean);
	case 'cpus':
		return text.replace(/\s+/g, '');
	default:
		return text;
	}
}

function readFields(fields, object) {
	return Object.fromEntries(fields.map((field) => [field.key, toInput(field, object[field.key])]));
}

function writeFields(fields, form, base) {
	/* Keys that this page does not know stay as they were. */
	const known = new Set(fields.map((field) => field.key));
	const out = Object.fromEntries(Object.entries(base || {}).filter(([key]) => !known.has(key)));
	for (const field of fields) {
		const value = fromInput(field, form[field.key]);
		if (value !== undefined)
			out[field.key] = value;
	}
	return out;
}

export const newDisk = () => readFields(DISK_FIELDS, {});
export const newNic = () => readFields(NIC_FIELDS, {});

/* Each row of a list keeps the object that it was read from, for the keys that the form does not know. */
export function formOf(config) {
	return {
		...readFields(VM_FIELDS, config),
		disk: (config.disk || []).map((disk) => ({ ...readFields(DISK_FIELDS, disk), base: disk })),
		nic: (config.nic || []).map((nic) => ({ ...readFields(NIC_FIELDS, nic), base: nic })),
	};
}

export function configOf(form, base = {}) {
	const { disk, nic, name, ...rest } = base;
	const config = writeFields(VM_FIELDS, form, rest);
	if (form.disk.length)
		config.disk = form.disk.map((row) => writeFields(DISK_FIELDS, row, row.base));
	if (form.nic.length)
		config.nic = form.nic.map((row) => writeFields(NIC_FIELDS, row, row.base));
	return config;
}

export const emptyForm = () => formOf({});
