import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ErrorCode } from '@holdfast/base';
import { libvirtError } from './libvirt-errors.ts';

/** As libvirt 9.0 said them. */
const said: readonly (readonly [ErrorCode, string])[] = [
  [
    'libvirt_unreachable',
    "error: failed to connect to the hypervisor\nerror: Failed to connect socket to '/s': Connection refused\n",
  ],
  [
    'libvirt_unreachable',
    'error: failed to connect to the hypervisor\nerror: Cannot recv data: ssh: connect to host h port 22: Connection refused: Connection reset by peer\n',
  ],
  [
    'libvirt_unreachable',
    'error: Disconnected from qemu:///system due to end of file\nerror: End of file while reading data: Input/output error\n',
  ],
  [
    'libvirt_denied',
    "error: failed to connect to the hypervisor\nerror: Failed to connect socket to '/run/libvirt/libvirt-sock': Permission denied\n",
  ],
  [
    'libvirt_denied',
    "error: failed to connect to the hypervisor\nerror: authentication unavailable: no polkit agent available to authenticate action 'org.libvirt.unix.manage'\n",
  ],
  ['vm_not_found', "error: failed to get domain 'nope'\n"],
  ['vm_not_found', "error: Failed to start\nerror: Domain not found: no domain with matching uuid '7af0ba8b'\n"],
  [
    'vm_state_invalid',
    'error: Unable to freeze filesystems\nerror: Requested operation is not valid: domain is not running\n',
  ],
  ['vm_state_invalid', 'error: Domain is already active\n'],
  [
    'guest_agent_missing',
    'error: Unable to freeze filesystems\nerror: argument unsupported: QEMU guest agent is not configured\n',
  ],
  ['guest_agent_missing', 'error: Guest agent is not responding: QEMU guest agent is not connected\n'],
  ['guest_agent_unresponsive', 'error: Guest agent is not responding: Guest agent not available for now\n'],
  [
    'guest_agent_unresponsive',
    'error: Guest agent is not responding: Guest agent disappeared while executing command\n',
  ],
  [
    'guest_command_failed',
    "error: internal error: unable to execute QEMU agent command 'guest-nope': The command guest-nope has not been found\n",
  ],
  ['checkpoint_not_found', "error: Domain checkpoint not found: no domain checkpoint with matching name 'cp'\n"],
  [
    'checkpoint_not_found',
    "error: Domain checkpoint not found: Checkpoint 'cp0' for incremental backup of disk 'vda' not found\n",
  ],
  ['checkpoint_inconsistent', "error: checkpoint inconsistent: missing or broken bitmap 'cp' for disk 'vda'\n"],
  [
    'vm_busy',
    'error: Timed out during operation: cannot acquire state change lock (held by monitor=remoteDispatchDomainBackupBegin)\n',
  ],
  [
    'vm_exists',
    "error: Failed to define domain from x.xml\nerror: operation failed: domain 'g1' already exists with uuid 7af0ba8b\n",
  ],
  [
    'vm_definition_invalid',
    'error: Failed to define domain from x.xml\nerror: (domain_definition):1: Premature end of data in tag domain line 1\n<domain>\n---^\n',
  ],
  [
    'vm_definition_invalid',
    'error: Failed to define domain from x.xml\nerror: XML error: an os <type> must be specified\n',
  ],
  ['checkpoint_inconsistent', "error: internal error: bitmap 'cp1' not found in backing chain of 'vda'\n"],
  ['vm_state_invalid', 'error: Operation not supported: cannot perform disk backup for inactive domain\n'],
  ['vm_unsupported', 'error: unsupported configuration: checkpoint for disk vdb unsupported for storage type raw\n'],
  ['vm_unsupported', 'error: Operation not supported: incremental backup is not supported yet\n'],
  [
    'libvirt_failed',
    "error: internal error: unable to execute QEMU command 'nbd-server-start': Failed to bind socket to /s: Permission denied\n",
  ],
  ['volume_busy', "error: internal error: disk 'vda' has a blockjob assigned\n"],
  ['vm_state_invalid', 'error: invalid argument: disk vda does not have an active block job\n'],
  ['libvirt_failed', ''],
];

test('what libvirt says becomes a code of the catalogue', () => {
  for (const [code, text] of said) assert.equal(libvirtError({ doing: 'do it', text }).code, code, text);
});

test('the message says what was being done and what libvirt answered, in one line', () => {
  const text = 'error: Failed to start domain\nerror: internal error: process exited\nqemu: no such file\n';
  assert.equal(
    libvirtError({ doing: 'start web1', text }).message,
    'start web1: internal error: process exited; qemu: no such file',
  );
});
