/**
 * libvirt says what went wrong in English, and each of its error codes begins with words of its own (virterror.c); virsh
 * does not print the code's number. This is the one place that reads them (libvirt 9.0 to 11, LC_ALL=C).
 */
import { type ErrorCode, HoldfastError } from '@holdfast/base';

type Known = { readonly pattern: RegExp; readonly code: ErrorCode; readonly remedy?: string };

/** The first that matches decides, so what is particular comes first. */
const known: readonly Known[] = [
  {
    pattern: /[Aa]uthentication (unavailable|failed|cancelled)|access denied|operation forbidden/,
    code: 'libvirt_denied',
  },
  { pattern: /Failed to connect socket.*Permission denied/, code: 'libvirt_denied' },
  {
    pattern:
      /[Ff]ailed to (re)?connect to the hypervisor|Failed to connect socket|no valid connection|Disconnected from|End of file while reading data|client socket is closed|Cannot (write|recv|read) data|no connection driver available|internal error: (client socket|connection closed)/,
    code: 'libvirt_unreachable',
  },
  { pattern: /failed to get domain|^error: Domain not found/m, code: 'vm_not_found' },

  {
    pattern: /checkpoint inconsistent|missing or broken bitmap|bitmap '.*' not found in backing chain/,
    code: 'checkpoint_inconsistent',
  },
  { pattern: /Domain checkpoint not found/, code: 'checkpoint_not_found' },

  { pattern: /guest agent is not (configured|connected)/i, code: 'guest_agent_missing' },
  {
    pattern: /Guest agent is not responding|guest agent .*(timed out|timeout|not available)/i,
    code: 'guest_agent_unresponsive',
  },
  { pattern: /unable to execute QEMU agent command/, code: 'guest_command_failed' },

  {
    pattern: /cannot acquire (state change|agent|job) lock|Timed out during operation: cannot acquire/,
    code: 'vm_busy',
  },
  {
    // A backup that is just beginning.
    pattern: /backup job data missing/,
    code: 'vm_busy',
  },
  {
    pattern: /there is (already )?(an|another) .*job|another .* job .*(running|active)|already active block job/i,
    code: 'vm_busy',
  },
  {
    // A commit or copy of a disk's layers: it may last for hours, or wait for somebody who was killed.
    pattern: /has a blockjob assigned/,
    code: 'volume_busy',
    remedy:
      'Wait for the job to end (virsh blockjob MACHINE DISK). If holdfast vm snapshot delete was cut off, run it again: it goes on.',
  },
  {
    pattern:
      /domain '.*' already exists with uuid|domain '.*' is already defined|already exists with|already (being )?used by another/,
    code: 'vm_exists',
  },
  {
    pattern:
      /Domain is already active|Requested operation is not valid|for inactive domain|does not have an active block job/,
    code: 'vm_state_invalid',
  },
  {
    pattern:
      /argument unsupported|Operation not supported|not supported by the connection driver|unsupported configuration/,
    code: 'vm_unsupported',
  },
  {
    pattern: /\((domain|checkpoint|backup)[a-z_]*\):\d+:|XML error|failed to validate against schema/,
    code: 'vm_definition_invalid',
  },
  { pattern: /No space left on device|Disk quota exceeded/, code: 'target_full' },
];

/** `text` is what virsh said on stderr, `doing` what we wanted ("start web1"). */
export function libvirtError({ doing, text, cause }: { doing: string; text: string; cause?: unknown }): HoldfastError {
  const match = known.find(({ pattern }) => pattern.test(text));
  return new HoldfastError(match?.code ?? 'libvirt_failed', `${doing}: ${lastWords(text)}`, {
    cause,
    ...(match?.remedy !== undefined && { remedy: match.remedy }),
  });
}

/** virsh first says what it was about, as `doing` does, and then what libvirt answered; the answer may have more lines. */
function lastWords(text: string): string {
  const answers = text.split(/^error: /m).map((answer) => answer.trim());
  const last = answers.findLast((answer) => answer !== '') ?? text.trim();
  return last.replace(/\s*\n\s*/g, '; ');
}
