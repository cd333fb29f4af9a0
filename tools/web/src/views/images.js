// Images: what kernels, RAM disks and disks of VMs name. Uploads show how far they are.
import { html, useState, useEffect, useRef } from '../lib/html.js';
import { useStore, createStore } from '../lib/store.js';
import { session, allowed } from '../lib/session.js';
import { get, remove, upload, part } from '../lib/api.js';
import { host, refresh } from '../poll.js';
import { events } from '../events.js';
import { formatBytes, plural } from '../lib/format.js';
import { confirmAction } from '../ui/dialog.js';
import { notify, complain } from '../ui/toast.js';
import { Icon } from '../ui/icons.js';
import { Table } from '../ui/table.js';

const SOURCES = { boot: 'boot medium', upload: 'upload' };
const NAME = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,46}$/;

/* Uploads go on while other pages are looked at: [{ id, name, sent, total, abort }]. */
const uploads = createStore([]);
let next = 1;

function progress(id, change) {
	uploads.set(uploads.get().map((item) => item.id === id ? { ...item, ...change } : item));
}

async function send(name, file, then) {
	const id = next++;
	const { done, abort } = upload(`/images/${part(name)}`, file, (sent, total) => progress(id, { sent, total }));
	uploads.set([...uploads.get(), { id, name, sent: 0, total: file.size, abort }]);
	try {
		await done;
		notify(`${name} is uploaded.`);
	} catch (problem) {
		complain(problem);
	}
	uploads.set(uploads.get().filter((item) => item.id !== id));
	then();
}

function UploadForm({ onDone, taken }) {
	const [file, setFile] = useState(null);
	const [name, setName] = useState('');
	const [error, setError] = useState('');
	const input = useRef(null);
	const free = useStore(host)?.memory.free_bytes;
	const choose = (chosen) => {
		setFile(chosen || null);
		if (chosen)
			setName(chosen.name.replace(/[^A-Za-z0-9._-]/g, '-').replace(/^[.-]+/, '').slice(0, 47));
	};
	const submit = (event) => {
		event.preventDefault();
		if (!file)
			return setError('Choose a file first.');
		if (!NAME.test(name))
			return setError('Give it a name of 1 to 47 letters, digits, ".", "_" or "-".');
		if (taken.some((image) => image.name === name && image.source === 'boot'))
			return setError('A boot module has this name, and cannot be replaced. Choose another one.');
		setError('');
		send(name, file, onDone);
		setFile(null);
		setName('');
		input.current.value = '';
	};
	const drop = (event) => {
		event.preventDefault();
		choose(event.dataTransfer.files[0]);
	};
	return html`<form class="card upload" onSubmit=${submit} onDragOver=${(event) => event.preventDefault()} onDrop=${drop} novalidate>
		<h2>Upload</h2>
		<div class="fields">
			<div class="field"><label class="label" for="upload-file">File</label>
				<input id="upload-file" type="file" ref=${input} onChange=${(event) => choose(event.target.files[0])}
					aria-describedby="upload-help"/>
				<p class="help" id="upload-help">A kernel, an initrd or a disk. It is kept in the host's memory${free === undefined ? '' :
					`, of which ${formatBytes(free)} is free,`} until the machine restarts.</p></div>
			<div class=${'field' + (error ? ' bad' : '')}><label class="label" for="upload-name">Name</label>
				<input id="upload-name" type="text" class="mono" value=${name} autocomplete="off" spellcheck="false"
					aria-invalid=${error ? 'true' : undefined}
					aria-describedby="upload-error" onInput=${(event) => setName(event.target.value)}/>
				<p class="error" id="upload-error" role="alert">${error}</p>
				<p class="help">How definitions call it. An upload of the same name is replaced.</p></div></div>
		<div class="buttons"><button type="submit" class="primary"><${Icon} name="upload"/><span>Upload</span></button></div>
		</form>`;
}

function Uploads() {
	const running = useStore(uploads);
	return running.length > 0 && html`<section class="card" aria-label="Uploads that run">
		${running.map(({ id, name, sent, total, abort }) => html`
		<div class="progress" key=${id}><span class="mono">${name}</span>
		<progress max=${total || 1} value=${sent} aria-label=${`Upload of ${name}`}></progress>
			<span class="number">${formatBytes(sent)} of ${formatBytes(total)}</span>
			<button type="button" onClick=${abort}>Cancel</button></div>`)}</section>`;
}

async function forget(image, then) {
	const agreed = await confirmAction({ title: `Delete ${image.name}?`, action: 'Delete', danger: true,
		text: 'The image is removed from the host\'s memory. VMs whose definition names it do not start any more.' });
	if (!agreed)
		return;
	try {
		await remove(`/images/${part(image.name)}`);
		notify(`${image.name} is deleted.`);
	} catch (problem) {
		complain(problem);
	}
	then();
}

function columnsOf(admin, done) {
	const columns = [
		{ label: 'Name', kind: 'mono', cell: (image) => image.name },
		{ label: 'Size', kind: 'number', cell: (image) => formatBytes(image.bytes) },
		{ label: 'From', cell: ({ source, complete }) => SOURCES[source] + (complete ? '' : ', not complete') },
		{ label: 'Used by', cell: (image) => image.users ? plural(image.users, 'running VM', 'running VMs') : 'none' },
	];
	if (admin)
		columns.push({ label: 'Actions', kind: 'number', quiet: true, cell: (image) => image.source !== 'boot' && html`<button type="button" class="small"
			disabled=${image.users > 0} title=${image.users ? 'A running VM uses it' : undefined}
				onClick=${() => forget(image, done)}>
			<${Icon} name="trash"/><span>Delete<span class="hidden-text"> ${image.name}</span></span></button>` });
	return columns;
}

export function ImagesPage() {
	const [images, setImages] = useState(null);
	const [error, setError] = useState('');
	const { role } = useStore(session);
	const { items } = useStore(events);
	const load = () => get('/images').then(({ body }) => {
		setImages(body.images);
		setError('');
	}, (problem) => setError(problem.message));
	useEffect(() => { load(); }, [items?.length]);
	const done = () => {
		load();
		refresh({ withHost: true });
	};
	const admin = allowed('admin', role);
	return html`<h1>Images</h1>${error && html`<p class="notice bad" role="alert">${error}</p>`}
		${admin && html`<${UploadForm} onDone=${done} taken=${images || []}/>`}<${Uploads}/>
		<section class="card"><h2 class="hidden-text">List</h2>
			${!images && !error && html`<p class="empty" role="status">Loading …</p>`}
			${images && !images.length && html`<p class="empty">There are no images yet.${admin ? ' Upload one above.' : ''}</p>`}
			${images && images.length > 0 && html`<${Table} columns=${columnsOf(admin, done)} rows=${images}
				keyOf=${(image) => image.name}/>`}
		</section>`;
}
