// xterm.js makes <style> elements and style attributes, which the Content-Security-Policy forbids for good reason. What it writes
// into them goes into constructed style sheets and the style object instead, which the policy allows. To be called once, before a
// terminal is made.

function sheetElement(element) {
	const sheet = new CSSStyleSheet();
	document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
	Object.defineProperty(element, 'textContent', {
		get: () => '',
		set: (text) => sheet.replaceSync(text),
	});
	element.remove = () => {
		document.adoptedStyleSheets = document.adoptedStyleSheets.filter((other) => other !== sheet);
		Element.prototype.remove.call(element);
	};
	return element;
}

function styledElement(element) {
	element.setAttribute = (name, value) => {
		if (name === 'style')
			element.style.cssText = value;
		else
			Element.prototype.setAttribute.call(element, name, value);
	};
	return element;
}

export function allowTerminalStyles() {
	if (Object.hasOwn(document, 'createElement'))
		return;
	document.createElement = function (name, options) {
		/* Even an empty <style> is against the policy; a <template> shows as little. */
		const element = Document.prototype.createElement.call(document, name === 'style' ? 'template' : name, options);
		if (name === 'style')
			return sheetElement(element);
		return name === 'span' ? styledElement(element) : element;
	};
}
