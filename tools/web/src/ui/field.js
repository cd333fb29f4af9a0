// One field of a form: label, input, what it means, and what the server found wrong with it.
import { html, useId } from '../lib/html.js';

function Input({ field, value, onInput, id, described, invalid, images, disabled }) {
	const common = { id, disabled, 'aria-describedby': described, 'aria-invalid': invalid ? 'true' : undefined, name: field.name };
	const typed = (event) => onInput(event.target.value);
	if (field.kind === 'choice')
		return html`<select ...${common} value=${value} onChange=${typed}>${field.choices.map(([key, text]) => html`<option
			value=${key} selected=${key === value}>${text}</option>`)}</select>`;
	if (field.kind === 'long')
		return html`<textarea ...${common} rows="2" spellcheck="false" class="mono" value=${value} placeholder=${field.unset}
			onInput=${typed}/>`;
	const list = field.kind === 'image' ? `${id}-images` : undefined;
	return html`<input ...${common} type="text" value=${value} placeholder=${field.unset || ''} list=${list} autocomplete="off"
		autocapitalize="off"
		spellcheck="false" class=${field.mono ? 'mono' : ''} required=${field.required} maxlength=${field.max}
		inputmode=${field.kind === 'integer' ? 'numeric' : undefined} onInput=${typed}/>
		${list && html`<datalist id=${list}>${(images || []).map((image) => html`<option value=${image.name}/>`)}</datalist>`}`;
}

// field: of schema.js, with `name` (the path that a problem's "field" has, as "disk[0].module"). error: a sentence or ''.
export function Field({ field, value, onInput, error, images, disabled }) {
	const id = useId();
	const described = `${id}-help${error ? ` ${id}-error` : ''}`;
	const message = error && html`<p class="error" id=${`${id}-error`}>${error}</p>`;
	const help = html`<p class="help" id=${`${id}-help`}>${field.help}</p>`;
	if (field.kind === 'bool')
		return html`<div class=${'field check' + (error ? ' bad' : '')} data-field=${field.name}>
			<input type="checkbox" id=${id} name=${field.name} checked=${value} disabled=${disabled}
				aria-describedby=${described}
				aria-invalid=${error ? 'true' : undefined} onChange=${(event) => onInput(event.target.checked)}/>
			<div><label class="label" for=${id}>${field.label}</label>${message}${help}</div></div>`;
	return html`<div class=${'field' + (error ? ' bad' : '') + (field.kind === 'long' ? ' long' : '')} data-field=${field.name}>
		<label class="label" for=${id}>${field.label}${field.required && html`<span class="needed"> (needed)</span>`}</label>
		<${Input} field=${field} value=${value} onInput=${onInput} id=${id} described=${described} invalid=${!!error}
			images=${images}
			disabled=${disabled}/>${message}${help}</div>`;
}
