// What has happened, live; and who did what (audit).
import { html, useState, useEffect } from '../lib/html.js';
import { useStore } from '../lib/store.js';
import { link } from '../lib/router.js';
import { get } from '../lib/api.js';
import { vms } from '../poll.js';
import { events } from '../events.js';
import { formatTime } from '../lib/format.js';
import { Table } from '../ui/table.js';

const SHOWN = 500;
const AUDIT_EVERY_MS = 10000;

/* Crashes and losses stand out by colour, and their kind says it too. */
const BAD = /crash|lost|fail|fault|refused/;

function Kind({ text, bad }) {
	return html`<span class=${'kind' + (bad ? ' bad' : '')}>${text}</span>`;
}

function Subject({ name }) {
	const known = useStore(vms);
	return known?.some((vm) => vm.name === name) ? html`<a href=${link('vms', name)}>${name}</a>` : name;
}

const WHICH = { label: 'Which', cell: (event) => html`<${Subject} name=${event.name}/>` };
const EVENT_COLUMNS = [
	{ label: 'Time', kind: 'time', cell: (event) => formatTime(event.time) },
	{ label: 'What', cell: (event) => html`<${Kind} text=${event.kind} bad=${BAD.test(event.kind)}/>` },
	{ label: 'Detail', kind: 'broad', cell: (event) => event.message },
];

// The events of one VM, or all.
export function EventList({ name }) {
	const { items, live } = useStore(events);
	const chosen = (items || []).filter((event) => !name || event.name === name).slice(-SHOWN).reverse();
	const columns = name ? EVENT_COLUMNS : [...EVENT_COLUMNS.slice(0, 2), WHICH, ...EVENT_COLUMNS.slice(2)];
	return html`<section class="card">
		<div class="card-head"><h2>${name ? `Events of ${name}` : 'What has happened'}</h2><span class="spacer"></span>
			<span class=${`link-state ${live ? 'open' : 'closed'}`}
				role="status">${live ? 'Live' : 'Not connected, trying again …'}</span></div>
		${!items && html`<p class="empty">Loading …</p>`}
		${items && !chosen.length && html`<p class="empty">Nothing yet.</p>`}
		${chosen.length > 0 && html`<${Table} columns=${columns} rows=${chosen} keyOf=${(event) => event.id}/>`}</section>`;
}

export function EventsPage() {
	return html`<h1>Events</h1><${EventList}/>`;
}

const AUDIT_COLUMNS = [
	{ label: 'Time', kind: 'time', cell: (entry) => formatTime(entry.time) },
	{ label: 'Token', cell: (entry) => entry.token || 'none' },
	{ label: 'Role', cell: (entry) => entry.role || 'none' },
	{ label: 'From', kind: 'mono', cell: (entry) => entry.peer },
	{ label: 'Request', kind: 'mono', cell: (entry) => `${entry.method} ${entry.path}` },
	{ label: 'Status', kind: 'number', cell: (entry) => html`<${Kind} text=${entry.status} bad=${entry.status >= 400}/>` },
];

function useAudit() {
	const [state, setState] = useState({ entries: null, error: '' });
	const { items } = useStore(events);
	useEffect(() => {
		let gone = false;
		const load = () => get('/audit').then(({ body }) => !gone && setState({ entries: body.entries.slice(-SHOWN).reverse(),
			error: '' }),
			(problem) => !gone && setState((before) => ({ ...before, error: problem.message })));
		load();
		const timer = setInterval(() => !document.hidden && load(), AUDIT_EVERY_MS);
		return () => {
			gone = true;
			clearInterval(timer);
		};
	}, [items?.length]);
	return state;
}

export function AuditPage() {
	const { entries, error } = useAudit();
	return html`<h1>Audit</h1><p class="help">Every request that changed something or was refused, since the machine's start.</p>
		${error && html`<p class="notice bad" role="alert">${error}</p>`}
		<section class="card"><h2 class="hidden-text">Requests</h2>
			${entries === null && !error && html`<p class="empty">Loading …</p>`}
			${entries && !entries.length && html`<p class="empty">Nothing yet.</p>`}
			${entries && entries.length > 0 && html`<${Table} columns=${AUDIT_COLUMNS} rows=${entries}
				keyOf=${(entry) => entry.id}/>`}
		</section>`;
}
