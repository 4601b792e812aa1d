/** What Holdfast notes in a definition, under `metadata`, where libvirt keeps what is not its own. */
import type { Element } from '@xmldom/xmldom';
import { attribute, childrenOf, type DomainDocument, elementAt } from './document.ts';

const NAMESPACE = 'https://holdfast.invalid/xmlns/instance/1';

/** When the machine got disks of an earlier moment, as ISO 8601: what was noted of changes before counts no more. */
export function restoredAt(domain: Element): string | undefined {
  const metadata = elementAt(domain, 'metadata');
  return attribute(metadata && ownElement(metadata), 'restored-at');
}

export function setRestoredAt({ document, domain }: DomainDocument, time: string): void {
  let metadata = elementAt(domain, 'metadata');
  if (!metadata) {
    metadata = document.createElement('metadata');
    domain.appendChild(metadata);
  }
  const own = ownElement(metadata) ?? document.createElementNS(NAMESPACE, 'holdfast:instance');
  own.setAttribute('restored-at', time);
  if (!own.parentNode) metadata.appendChild(own);
}

function ownElement(metadata: Element): Element | undefined {
  return childrenOf(metadata).find(({ namespaceURI }) => namespaceURI === NAMESPACE);
}
