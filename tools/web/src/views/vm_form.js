// Making a VM and changing a definition: one form, every key explained, and what the server finds wrong shown where it is wrong.
import { html, useState, useEffect, useLayoutEffect, useRef } from '../lib/html.js';
import { get, put, post, part } from '../lib/api.js';
import { go, guardLeaving } from '../lib/router.js';
import { allowed } from '../lib/session.js';
import { refresh, watched } from '../poll.js';
import { GROUPS, VM_FIELDS, LISTS, NAME_PATTERN } from '../schema.js';
import { formOf, configOf, emptyForm, newRow } from '../definition.js';
import { Field } from '../ui/field.js';
import { Icon } from '../ui/icons.js';
import { notify, complain } from '../ui/toast.js';

function useImages() {
	const [images, setImages] = useState([]);
	useEffect(() => {
		get('/images').then(({ body }) => setImages(body.images), () => {}); /* without the list, names are typed */
	}, []);
	return images;
}

// Fields of one object. `path` is what problems put before a key: '' or 'disk[0].'.
function Fields({ fields, path, values, set, errors, images, disabled }) {
	return html`<div class="fields">${fields.map((field) => html`<${Field} key=${field.key}
		field=${{ ...field, name: path + field.key }}
		value=${values[field.key]} error=${errors[path + field.key]} images=${images} disabled=${disabled}
		onInput=${(value) => set({ [field.key]: value })}/>`)}</div>`;
}

function Group({ group, form, change, errors, ...common }) {
	const fields = VM_FIELDS.filter((field) => field.group === group.id);
	return html`<details class="card group" open=${group.open || fields.some(({ key }) => errors[key])}>
		<summary><h2>${group.title}</h2><${Icon} name="down"/></summary>
		<${Fields} fields=${fields} path="" values=${form} set=${change} errors=${errors} ...${common}/></details>`;
}

const FIRST_FIELDS = 3; /* of a disk, card or channel; the others are folded away */

function Row({ title, path, fields, row, set, drop, errors, disabled, ...common }) {
	const at = `${path}.`;
	const all = { path: at, values: row, set, errors, disabled, ...common };
	const rest = fields.slice(FIRST_FIELDS);
	return html`<fieldset data-field=${path}><legend>${title}</legend>
		${errors[path] && html`<p class="error" tabindex="-1">${errors[path]}</p>`}
		<${Fields} fields=${fields.slice(0, FIRST_FIELDS)} ...${all}/>
		${rest.length > 0 && html`<details class="more" open=${rest.some(({ key }) => errors[at + key])}>
			<summary>More settings of this ${title.split(' ')[0].toLowerCase()}</summary><${Fields} fields=${rest} ...${all}/></details>`}
		${!disabled && html`<button type="button" class="small" onClick=${drop}><${Icon} name="trash"/>
			<span>Remove ${title.toLowerCase()}</span></button>`}</fieldset>`;
}

// One of LISTS. Problems name its rows as "disk[0].module".
function Rows({ list, rows, change, errors, disabled, ...common }) {
	const { key: kind, title, one, fields, most, explain } = list;
	const set = (index, value) => change({ [kind]: rows.map((row, at) => at === index ? { ...row, ...value } : row) });
	const drop = (index) => change({ [kind]: rows.filter((row, at) => at !== index) });
	return html`<section class="card group"><h2>${title}</h2><p class="help">${explain}</p>
		${errors[kind] && html`<p class="error" role="alert">${errors[kind]}</p>`}
		${rows.map((row, index) => html`<${Row} key=${index} title=${`${one} ${index + 1}`} path=${`${kind}[${index}]`}
			fields=${fields} row=${row}
			set=${(value) => set(index, value)} drop=${() => drop(index)} errors=${errors}
				disabled=${disabled} ...${common}/>`)}
		${!disabled && rows.length < most && html`<button type="button" onClick=${() => change({ [kind]: [...rows, newRow(kind)] })}>
			<${Icon} name="plus"/><span>Add a ${one.toLowerCase()}</span></button>`}</section>`;
}

/* The sentence goes to the field that it is about; what belongs to none is shown above the form. */
function errorsOf(problem, form) {
	const inList = (name) => LISTS.some(({ key }) => {
		const row = new RegExp(`^${key}(?:\\[(\\d+)\\](\\.\\w+)?)?$`).exec(name);
		return row && (row[1] === undefined || Number(row[1]) < form[key].length);
	});
	const exists = (name) => name === 'name' || VM_FIELDS.some(({ key }) => key === name) || inList(name);
	return problem.field && exists(problem.field) ? { [problem.field]: problem.message } : { '': problem.message };
}

function useFocusOnError(errors, ref) {
	useLayoutEffect(() => {
		const bad = ref.current && Object.keys(errors).length &&
			ref.current.querySelector('[aria-invalid=true], .form-error, fieldset .error');
		if (bad) {
			bad.closest('details')?.setAttribute('open', '');
			bad.focus();
		}
	}, [errors]);
}

function Editor({ form, setForm, errors, save, disabled, busy, label, children, lead }) {
	const images = useImages();
	const ref = useRef(null);
	useFocusOnError(errors, ref);
	const change = (values) => setForm({ ...form, ...values });
	const submit = (event) => {
		event.preventDefault();
		save();
	};
	const common = { change, errors, images, disabled };
	return html`<form class="editor" ref=${ref} onSubmit=${submit} novalidate>
		${errors[''] && html`<p class="notice bad form-error" role="alert" tabindex="-1">${errors['']}</p>`}
		${lead}
		${GROUPS.slice(0, 2).map((group) => html`<${Group} key=${group.id} group=${group} form=${form} ...${common}/>`)}
		${LISTS.map((list) => html`<${Rows} key=${list.key} list=${list} rows=${form[list.key]} ...${common}/>`)}
		${GROUPS.slice(2).map((group) => html`<${Group} key=${group.id} group=${group} form=${form} ...${common}/>`)}
		${!disabled && html`<div class="buttons sticky">${children}<span class="spacer"></span>
			<button type="submit" class="primary big" disabled=${busy}>${
			label}</button></div>`}</form>`;
}

function checkedErrors(form, name) {
	const errors = {};
	if (name !== undefined && !NAME_PATTERN.test(name))
		errors.name = 'A name is needed: 1 to 31 letters, digits, ".", "_" or "-", not beginning with "." or "-".';
	if (!form.kernel.trim())
		errors.kernel = 'Choose the image to boot.';
	return errors;
}

const NAME_FIELD = { key: 'name', name: 'name', label: 'Name', kind: 'text', required: true, max: 31,
	help: 'How console, log and commands call it: letters, digits, ".", "_" and "-".' };

export function CreateVm() {
	const [form, setFormOnly] = useState(() => ({ ...emptyForm(), nic: [newRow('nic')] }));
	const [name, setName] = useState('');
	const [start, setStart] = useState(true);
	const [errors, setErrors] = useState({});
	const [busy, setBusy] = useState(false);
	const touched = () => guardLeaving('The VM is not made yet. Leave without it?');
	useEffect(() => () => guardLeaving(null), []);
	const setForm = (next) => {
		touched();
		setFormOnly(next);
	};
	const boot = async () => {
		try {
			await post(`/vms/${part(name)}/boot`);
		} catch (problem) {
			complain(problem);
		}
	};
	const save = async () => {
		const found = checkedErrors(form, name);
		setErrors(found);
		if (Object.keys(found).length)
			return;
		setBusy(true);
		try {
			await put(`/vms/${part(name)}`, configOf(form), { headers: { 'If-None-Match': '*' } });
		} catch (problem) {
			setErrors(problem.status === 412 ? { name: 'There is a VM of this name already. Choose another one.' } :
				errorsOf(problem, form));
			return setBusy(false);
		}
		guardLeaving(null);
		notify(`${name} is defined.`);
		if (start)
			await boot();
		refresh();
		go('vms', name);
	};
	const lead = html`<section class="card"><div class="fields">
		<${Field} field=${NAME_FIELD} value=${name} error=${errors.name} onInput=${(value) => {
		touched();
		setName(value);
	}}/></div></section>`;
	return html`<h1>Create a VM</h1><${Editor} form=${form} setForm=${setForm} errors=${errors} save=${save} busy=${busy}
		label="Create" lead=${lead}>
		<label class="check-inline"><input type="checkbox" checked=${start}
			onChange=${(event) => setStart(event.target.checked)}/> Start it at once</label></${Editor}>`;
}

export function EditVm({ vm, etag }) {
	const [version, setVersion] = useState({ etag, config: vm.config });
	const [form, setFormOnly] = useState(() => formOf(vm.config));
	const [errors, setErrors] = useState({});
	const [busy, setBusy] = useState(false);
	const [dirty, setDirty] = useState(false);
	const disabled = !allowed('admin');
	useEffect(() => () => guardLeaving(null), []);
	const setForm = (next) => {
		guardLeaving('The definition has changes that are not saved. Leave without them?');
		setDirty(true);
		setFormOnly(next);
	};
	const load = (config, tag) => {
		guardLeaving(null);
		setVersion({ etag: tag, config });
		setFormOnly(formOf(config));
		setErrors({});
		setDirty(false);
	};
	/* Somebody else's change: taken over while nothing was typed here, else said. */
	const stale = etag !== version.etag;
	useEffect(() => {
		if (stale && !dirty && !busy)
			load(vm.config, etag);
	}, [stale, dirty, busy]);
	const save = async () => {
		const found = checkedErrors(form);
		setErrors(found);
		if (Object.keys(found).length)
			return;
		setBusy(true);
		try {
			const { body, headers } = await put(`/vms/${part(vm.name)}`, configOf(form, version.config),
				version.etag ? { headers: { 'If-Match': version.etag } } : {});
			const tag = headers.get('ETag') || '';
			load(body.config, tag);
			watched.update({ vm: body, etag: tag });
			notify(body.change_pending ? 'Saved. The change takes effect at the next start.' : 'Saved.');
		} catch (problem) {
			setErrors(errorsOf(problem, form));
		}
		setBusy(false);
	};
	return html`${vm.from_file && !disabled && html`<p class="notice">
		${'This VM comes from hilum.toml. A definition saved here goes before that one.'}</p>`}
		${stale && dirty && html`<p class="notice warn">Somebody else has changed this definition meanwhile.
			<button type="button" class="small" onClick=${() => load(vm.config, etag)}>Load it again</button></p>`}
		<${Editor} form=${form} setForm=${setForm} errors=${errors} save=${save} busy=${busy || !dirty} disabled=${disabled}
			label="Save">
		<button type="button" class="big" disabled=${!dirty}
			onClick=${() => load(version.config, version.etag)}>Undo changes</button></${Editor}>`;
}
