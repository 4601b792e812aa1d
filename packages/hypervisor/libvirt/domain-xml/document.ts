/** XML as libvirt writes it, read strictly (docs/adr/0009-xml.md): one document, well-formed, without DOCTYPE. */
import { HoldfastError } from '@holdfast/base';
import { type Document, DOMParser, type Element, type Node, XMLSerializer } from '@xmldom/xmldom';

/** A machine with a hundred disks has 100 KB; what is larger is no definition. */
const LIMIT_CHARACTERS = 4 * 1024 * 1024;

const BARE_AMPERSAND = /&(?!(?:amp|lt|gt|quot|apos|#\d+|#x[\da-f]+);)/i;
const COMMENT_OR_CDATA = /<!--[^]*?-->|<!\[CDATA\[[^]*?\]\]>/g;

export type DomainDocument = { readonly document: Document; readonly domain: Element };

/** @throws vm_definition_invalid */
export function parseDomainDocument(xml: string): DomainDocument {
  const document = parseDocument(xml);
  const domain = document.documentElement;
  if (!domain || domain.nodeName !== 'domain')
    throw invalid(`its root is ${domain?.nodeName ?? 'missing'}, not domain`);
  return { document, domain };
}

/** The root element of any document of libvirt. @throws vm_definition_invalid */
export function parseRoot(xml: string): Element {
  const root = parseDocument(xml).documentElement;
  if (!root) throw invalid('it is empty');
  return root;
}

function parseDocument(xml: string): Document {
  if (xml.length > LIMIT_CHARACTERS) throw invalid(`it has ${xml.length} characters`);
  // The parser lets these pass as text.
  if (BARE_AMPERSAND.test(xml.replace(COMMENT_OR_CDATA, ''))) throw invalid('an & in it begins no entity of XML');
  const document = parse(xml);
  if (document.doctype) throw invalid('it has a DOCTYPE');
  return document;
}

function parse(xml: string): Document {
  try {
    const onError = (_level: string, message: string): void => {
      // U+FFFD may have been lost by somebody else, but it is a character like any other.
      if (!message.startsWith('Unicode replacement character')) throw new Error(message);
    };
    // Of XML 1.0: the parser's own takes U+2028 for one too, and a path may hold that.
    const normalizeLineEndings = (text: string): string => text.replace(/\r\n?/g, '\n');
    return new DOMParser({ onError, normalizeLineEndings }).parseFromString(xml, 'text/xml');
  } catch (error) {
    throw invalid(error instanceof Error ? error.message.replace(/\s+/g, ' ') : 'it is not well-formed', error);
  }
}

/** Without an XML declaration: text has no encoding. @throws vm_definition_invalid when a name or path is none for XML */
export function serializeDocument(document: Document): string {
  const declaration = [...document.childNodes].find(({ nodeName }) => nodeName === 'xml');
  if (declaration) document.removeChild(declaration);
  try {
    return new XMLSerializer().serializeToString(document, { requireWellFormed: true });
  } catch (error) {
    throw invalid(error instanceof Error ? error.message : 'it cannot be written', error);
  }
}

/** Child elements of this name; all of them without one. */
export function childrenOf(parent: Element, name?: string): readonly Element[] {
  const elements = [...parent.childNodes].filter(isElement);
  return name === undefined ? elements : elements.filter(({ nodeName }) => nodeName === name);
}

/** The element at the end of the path of first children, such as `devices`, `emulator`. */
export function elementAt(parent: Element, ...path: readonly string[]): Element | undefined {
  let at: Element | undefined = parent;
  for (const name of path) at = at && childrenOf(at, name)[0];
  return at;
}

/** Undefined when it is absent or empty. */
export function attribute(element: Element | undefined, name: string): string | undefined {
  const value = element?.getAttribute(name);
  return value === null || value === '' ? undefined : value;
}

/** Text without white space around it; undefined when there is none. */
export function textOf(element: Element | undefined): string | undefined {
  const text = element?.textContent?.trim();
  return text === '' ? undefined : text;
}

export function invalid(why: string, cause?: unknown): HoldfastError {
  return new HoldfastError('vm_definition_invalid', `The XML is no definition of a virtual machine: ${why}`, { cause });
}

function isElement(node: Node): node is Element {
  return node.nodeType === node.ELEMENT_NODE;
}
