/** What a live definition says of a job that makes another image the same as a disk's topmost one. */
import type { Element } from '@xmldom/xmldom';
import { attribute, childrenOf, elementAt } from './document.ts';

export type MirrorState = 'none' | 'copying' | 'ready' | 'pivoting';

/** Of the disk with this target. */
export function describeMirror(domain: Element, target: string): MirrorState {
  const disks = childrenOf(elementAt(domain, 'devices') ?? domain, 'disk');
  const disk = disks.find((one) => attribute(elementAt(one, 'target'), 'dev') === target);
  const mirror = disk && elementAt(disk, 'mirror');
  if (!mirror) return 'none';
  const ready = attribute(mirror, 'ready');
  if (ready === 'yes') return 'ready';
  return ready === undefined ? 'copying' : 'pivoting';
}
