/** What every call about one machine needs. */
import type { Virsh } from './virsh.ts';

export type DomainHandle = {
  readonly virsh: Virsh;
  /** For messages. */
  readonly name: string;
  /** For virsh, which takes a name made of digits for the id of some running machine. */
  readonly uuid: string;
};
