/** As whom the QEMU of a running machine works, which is who must be able to write where its sockets are. */
import { attribute, childrenOf, elementAt, parseDomainDocument, textOf } from './document.ts';

export type ProcessOwner = { readonly uid: number; readonly gid: number };

/** @param xml the live definition. Undefined where libvirt does not change users, as in a session of one user. */
export function processOwner(xml: string): ProcessOwner | undefined {
  const { domain } = parseDomainDocument(xml);
  const label = childrenOf(domain, 'seclabel').find((element) => attribute(element, 'model') === 'dac');
  const [, uid, gid] = /^\+(\d+):\+(\d+)$/.exec((label && textOf(elementAt(label, 'label'))) ?? '') ?? [];
  return uid === undefined || gid === undefined ? undefined : { uid: Number(uid), gid: Number(gid) };
}
