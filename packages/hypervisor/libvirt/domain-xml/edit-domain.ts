/**
 * A definition for a restored machine: a new identity and new places of its disks. What is not named here stays: elements
 * that we do not know, their order, comments, white space, foreign namespaces. (Quotes and empty elements may be written
 * another way.)
 */
import { HoldfastError } from '@holdfast/base';
import type { Element } from '@xmldom/xmldom';
import { describeDisk } from './disk.ts';
import { isUefi } from './domain-description.ts';
import {
  attribute,
  childrenOf,
  type DomainDocument,
  elementAt,
  parseDomainDocument,
  serializeDocument,
} from './document.ts';
import { setRestoredAt } from './own-notes.ts';

export type DiskPlace =
  | { readonly kind: 'file' | 'block'; readonly path: string; readonly format: string }
  /** A drive without its medium; only of cdrom and floppy. */
  | { readonly kind: 'none' }
  /** The machine without this disk. */
  | { readonly kind: 'remove' };

export type DomainChanges = {
  readonly name?: string;
  /**
   * Of another machine. Also where the firmware's tables repeat it; the generation id goes, so that libvirt makes a
   * new one and the guest knows that it is a copy; and so does the path of the UEFI variables, which libvirt derives from
   * the name, unless `nvramPath` is given: two machines must not share that file.
   */
  readonly uuid?: string;
  readonly nvramPath?: string;
  /** By old address, in lower case. */
  readonly macs?: ReadonlyMap<string, string>;
  /** By target. */
  readonly disks?: ReadonlyMap<string, DiskPlace>;
  /** When it got disks of an earlier moment, as ISO 8601. */
  readonly restoredAt?: string;
};

/** @throws vm_definition_invalid, vm_disk_not_found for a target that it has not, incompatible_target */
export function editDomain(xml: string, changes: DomainChanges): string {
  const edited = parseDomainDocument(xml);
  const { document, domain } = edited;
  if (changes.name !== undefined) setText(edited, domain, 'name', changes.name);
  if (changes.uuid !== undefined) setUuid(edited, changes.uuid);
  if (changes.nvramPath !== undefined) setNvram(edited, changes.nvramPath);
  if (changes.macs) setMacs(domain, changes.macs);
  if (changes.disks) setDisks(edited, changes.disks);
  if (changes.restoredAt !== undefined) setRestoredAt(edited, changes.restoredAt);
  domain.removeAttribute('id'); // of a running machine: it means nothing to another
  return serializeDocument(document);
}

function setUuid(edited: DomainDocument, uuid: string): void {
  const { domain } = edited;
  setText(edited, domain, 'uuid', uuid);
  for (const info of childrenOf(domain, 'sysinfo')) {
    for (const entry of childrenOf(elementAt(info, 'system') ?? info, 'entry')) {
      if (attribute(entry, 'name') === 'uuid') entry.textContent = uuid;
    }
  }
  const generation = elementAt(domain, 'genid');
  if (generation) generation.textContent = '';
  const nvram = elementAt(domain, 'os', 'nvram');
  if (nvram) clearNvram(nvram);
}

function clearNvram(nvram: Element): void {
  nvram.textContent = ''; // `source` too
  nvram.removeAttribute('type');
}

/** A definition whose firmware libvirt chooses need not name the file. */
function setNvram({ document, domain }: DomainDocument, path: string): void {
  const os = elementAt(domain, 'os');
  if (!os || !isUefi(os)) throw new HoldfastError('vm_definition_invalid', 'The machine has no UEFI variables');
  const nvram = elementAt(os, 'nvram') ?? document.createElement('nvram');
  if (!nvram.parentNode) os.appendChild(nvram);
  clearNvram(nvram);
  nvram.textContent = path;
}

function setMacs(domain: Element, macs: ReadonlyMap<string, string>): void {
  for (const card of childrenOf(elementAt(domain, 'devices') ?? domain, 'interface')) {
    const mac = elementAt(card, 'mac');
    const fresh = macs.get(attribute(mac, 'address')?.toLowerCase() ?? '');
    if (mac && fresh !== undefined) mac.setAttribute('address', fresh);
  }
}

function setDisks(edited: DomainDocument, places: ReadonlyMap<string, DiskPlace>): void {
  const elements = childrenOf(elementAt(edited.domain, 'devices') ?? edited.domain, 'disk');
  const byTarget = new Map(elements.map((element) => [describeDisk(element).target, element]));
  for (const [target, place] of places) {
    const disk = byTarget.get(target);
    if (!disk) {
      throw new HoldfastError('vm_disk_not_found', `The machine has no disk ${target}`, { facts: { disk: target } });
    }
    setDisk(edited, disk, place);
  }
}

function setDisk(edited: DomainDocument, disk: Element, place: DiskPlace): void {
  const { target, device } = describeDisk(disk);
  if (place.kind === 'remove') {
    removeWithSpace(disk);
    return;
  }
  // What lay below the old source, what it was being copied to, and the keys to it are not of the new one.
  for (const stale of ['backingStore', 'mirror', 'auth', 'encryption']) {
    for (const element of childrenOf(disk, stale)) removeWithSpace(element);
  }
  const source = elementAt(disk, 'source');
  if (place.kind === 'none') {
    if (device !== 'cdrom' && device !== 'floppy') {
      throw new HoldfastError('incompatible_target', `The disk ${target} cannot be empty`);
    }
    if (source) removeWithSpace(source);
    return;
  }
  const fresh = edited.document.createElement('source');
  fresh.setAttribute(place.kind === 'file' ? 'file' : 'dev', place.path);
  disk.setAttribute('type', place.kind);
  if (device === 'lun' && place.kind === 'file') disk.setAttribute('device', 'disk'); // a file takes no SCSI commands
  if (source) disk.replaceChild(fresh, source);
  else disk.insertBefore(fresh, elementAt(disk, 'target') ?? null);
  driverOf(edited, disk).setAttribute('type', place.format);
}

function driverOf({ document }: DomainDocument, disk: Element): Element {
  const driver = elementAt(disk, 'driver');
  if (driver) return driver;
  const made = document.createElement('driver');
  made.setAttribute('name', 'qemu');
  disk.insertBefore(made, disk.firstChild);
  return made;
}

function setText({ document }: DomainDocument, parent: Element, name: string, text: string): void {
  const element = elementAt(parent, name);
  if (element) {
    element.textContent = text;
    return;
  }
  const made = document.createElement(name);
  made.textContent = text;
  parent.insertBefore(made, parent.firstChild);
}

/** With the white space before it, so that no empty line is left. */
function removeWithSpace(element: Element): void {
  const before = element.previousSibling;
  const parent = element.parentNode;
  if (before?.nodeType === before?.TEXT_NODE && before?.nodeValue?.trim() === '') parent?.removeChild(before);
  parent?.removeChild(element);
}
