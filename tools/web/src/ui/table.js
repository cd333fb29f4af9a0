// Tables: on narrow screens each row becomes a small block with its labels, so the roles are said, which browsers would else forget.
import { html } from '../lib/html.js';

// columns: [{ label, cell: (row, index) => what stands there, kind: 'number', 'time' or 'mono', quiet: its label is for screen readers only }].
export function Table({ columns, rows, keyOf }) {
	const head = ({ label, kind, quiet }) => html`<th role="columnheader" class=${kind}>
		<span class=${quiet ? 'hidden-text' : ''}>${label}</span></th>`;
	const cell = ({ label, kind, quiet, cell: content }, row, index) => html`<td role="cell" class=${kind}
		data-label=${quiet ? undefined : label}>${content(row, index)}</td>`;
	return html`<div class="scroll"><table role="table">
		<thead role="rowgroup"><tr role="row">${columns.map(head)}</tr></thead>
		<tbody role="rowgroup">${rows.map((row, index) => html`<tr role="row" key=${keyOf(row, index)}>
			${columns.map((column) => cell(column, row, index))}</tr>`)}</tbody>
	</table></div>`;
}
