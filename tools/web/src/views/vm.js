// One VM: heading with state and actions, and the pages below it.
import { html, useEffect } from '../lib/html.js';
import { useStore } from '../lib/store.js';
import { session, allowed } from '../lib/session.js';
import { link, go } from '../lib/router.js';
import { post, remove, part } from '../lib/api.js';
import { watched, watchVm, refresh } from '../poll.js';
import { actionsFor } from '../actions.js';
import { Menu } from '../ui/menu.js';
import { Icon } from '../ui/icons.js';
import { confirmAction } from '../ui/dialog.js';
import { notify, complain } from '../ui/toast.js';
import { StateBadge } from './shell.js';
import { Summary } from './vm_summary.js';
import { Console } from './vm_console.js';
import { EditVm } from './vm_form.js';
import { EventList } from './events.js';

async function perform(action, name) {
	if (action.confirm) {
		const { title, text, action: verb } = action.confirm;
		const typeName = action.confirm.typeName && name;
		const agreed = await confirmAction({ title: title(name), text, action: verb, danger: action.danger, typeName });
		if (!agreed)
			return;
	}
	try {
		if (action.verb)
			await post(`/vms/${part(name)}/${action.verb}`, action.body);
		else
			await remove(`/vms/${part(name)}`);
		notify(`${name} ${action.done}.`);
		if (!action.verb)
			go();
	} catch (problem) {
		complain(problem);
	}
	refresh();
}

function Actions({ vm }) {
	const { role } = useStore(session);
	const possible = actionsFor(vm.state).filter((action) => allowed(action.role, role));
	const buttons = possible.filter((action) => action.main);
	const others = possible.filter((action) => !action.main);
	return html`<div class="buttons" role="group" aria-label="Actions">
		${buttons.map((action) => html`<button type="button" key=${action.id} class=${action.primary ? 'primary' : ''}
			onClick=${() => perform(action, vm.name)}><${Icon} name=${action.icon}/><span>${action.label}</span></button>`)}
		${others.length > 0 && html`<${Menu} label="More" items=${others.map((action) => ({ ...action, onSelect: () => perform(action, vm.name) }))}/>`}
	</div>`;
}

const PAGES = [['', 'Summary'], ['console', 'Console'], ['definition', 'Definition'], ['events', 'Events']];

function Pages({ name, current }) {
	return html`<nav class="pages" aria-label=${name}><ul>${PAGES.map(([page, label]) => html`<li>
		<a href=${link('vms', name, ...(page ? [page] : []))}
		aria-current=${page === current ? 'page' : undefined}>${label}</a></li>`)}</ul></nav>`;
}

function Missing({ name }) {
	return html`<h1>${name}</h1><p class="notice">There is no VM of this name. It may have been deleted meanwhile.</p>`;
}

export function VmPage({ name, page }) {
	useEffect(() => watchVm(name), [name]);
	useEffect(() => () => watchVm(''), []);
	const { vm, missing, name: of, etag } = useStore(watched);
	if (missing && of === name)
		return html`<${Missing} name=${name}/>`;
	const known = of === name ? vm : null;
	return html`<div class="vm-head"><h1>${name}</h1>${known && html`<${StateBadge} state=${known.state}/>`}
			<span class="spacer"></span>${known && html`<${Actions} vm=${known}/>`}</div>
		<${Pages} name=${name} current=${page || ''}/>
		${known && known.change_pending && html`<p class="notice">The definition has changed since the VM started. The change takes effect at its next start.</p>`}
		${!known && html`<p class="empty" role="status">Loading …</p>`}
		${known && !page && html`<${Summary} vm=${known}/>`}
		${known && page === 'console' && html`<${Console} key=${name} vm=${known}/>`}
		${known && page === 'definition' && html`<${EditVm} key=${name} vm=${known} etag=${etag}/>`}
		${known && page === 'events' && html`<${EventList} name=${name}/>`}`;
}
