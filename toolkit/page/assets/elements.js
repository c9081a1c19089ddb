// Elements are made here alone. Whatever comes from the data becomes text, never markup.

const SVG = "http://www.w3.org/2000/svg";

function make(tag, properties, ...children) {
  return fill(document.createElement(tag), properties, children);
}

function makeSvg(tag, properties, ...children) {
  return fill(document.createElementNS(SVG, tag), properties, children);
}

// `on…` properties are listeners; true and false switch an attribute on and off.
function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.flat().map((child) => (child instanceof Node ? child : String(child))));
  return element;
}

function byId(id) {
  return document.getElementById(id);
}

function makePairs(list, pairs) {
  list.replaceChildren(...pairs.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
  return list;
}

function makeCommand(text) {
  const button = make("button", { type: "button", class: "copy", "aria-label": "Copy the command " + text }, "copy");
  const code = make("code", {}, text);
  button.addEventListener("click", async () => {
    button.textContent = (await copyText(text, code)) ? "copied" : "selected";
    setTimeout(() => (button.textContent = "copy"), 2000);
  });
  return make("div", { class: "command" }, code, button);
}

// Where a browser lets no page at the clipboard, the text is left selected for Ctrl-C.
async function copyText(text, shown) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    getSelection().selectAllChildren(shown);
    return false;
  }
}

// Paper unfolds nothing: all of it is printed, and folded afterwards as it was.
const unfolded = [];
addEventListener("beforeprint", () => {
  unfolded.push(...document.querySelectorAll("details:not([open])"));
  for (const folded of unfolded) folded.open = true;
});
addEventListener("afterprint", () => {
  for (const folded of unfolded.splice(0)) folded.open = false;
});
