// Between a definition (JSON, as the API has it) and what a form holds: strings for what is typed, booleans for boxes. Pure.
import { VM_FIELDS, LISTS } from './schema.js';

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

export const newRow = (key) => readFields(LISTS.find((list) => list.key === key).fields, {});

/* Each row of a list keeps the object that it was read from, for the keys that the form does not know. */
export function formOf(config) {
	const form = readFields(VM_FIELDS, config);
	for (const { key, fields } of LISTS)
		form[key] = (config[key] || []).map((row) => ({ ...readFields(fields, row), base: row }));
	return form;
}

export function configOf(form, base = {}) {
	const rest = Object.fromEntries(Object.entries(base).filter(([key]) => key !== 'name' && !LISTS.some((list) => list.key === key)));
	const config = writeFields(VM_FIELDS, form, rest);
	for (const { key, fields } of LISTS)
		if (form[key].length)
			config[key] = form[key].map((row) => writeFields(fields, row, row.base));
	return config;
}

export const emptyForm = () => formOf({});
