/**
 * Every error a user can meet, in one table: `docs/errors.md` is generated from it, problems (RFC 9457) and exit codes
 * are derived from it. Codes are stable; add, never rename.
 */

/** What a caller may do about it by itself: `never` = the same call fails again, `later` = it may succeed unchanged. */
export type Retry = 'never' | 'later';

export type ErrorEntry = {
  /** HTTP status that the API answers with. */
  readonly status: number;
  /** One line, no trailing full stop; the same for every occurrence. */
  readonly title: string;
  readonly retry: Retry;
  /** Whether an operator is told even when a user caused it. */
  readonly alert: boolean;
  /** What to do; shown by the command line when the error itself carries no better remedy. */
  readonly remedy: string;
  /** Exit code of the command line; 1 when absent. */
  readonly exitCode?: 2 | 130;
};

export const errorCatalogue = {
  usage: {
    status: 400,
    title: 'The command was not understood',
    retry: 'never',
    alert: false,
    exitCode: 2,
    remedy: 'See --help of the command.',
  },
  interrupted: {
    status: 499,
    title: 'Interrupted',
    retry: 'later',
    alert: false,
    exitCode: 130,
    remedy: 'Run the command again; what was already uploaded is not uploaded twice once a point has committed.',
  },
  internal: {
    status: 500,
    title: 'Unexpected failure inside Holdfast',
    retry: 'never',
    alert: true,
    remedy: 'Run again with HOLDFAST_DEBUG=1 and report the trace.',
  },

  storage_url_invalid: {
    status: 422,
    title: 'The storage URL is not valid',
    retry: 'never',
    alert: false,
    exitCode: 2,
    remedy: 'Use file:///absolute/dir.',
  },
  storage_unreachable: {
    status: 503,
    title: 'The backup storage cannot be reached',
    retry: 'later',
    alert: true,
    remedy: 'Check that the storage is mounted or online and that the credentials allow access.',
  },
  storage_full: {
    status: 507,
    title: 'The backup storage is full',
    retry: 'later',
    alert: true,
    remedy: 'Free space on the storage or delete points, then run again.',
  },
  storage_denied: {
    status: 403,
    title: 'The backup storage refuses access',
    retry: 'never',
    alert: true,
    remedy: 'Give this user read and write permission on the storage.',
  },
  object_not_found: {
    status: 404,
    title: 'The object does not exist on the storage',
    retry: 'never',
    alert: false,
    remedy: 'Run holdfast verify to see what the repository lacks.',
  },
  object_exists: {
    status: 409,
    title: 'The object exists already',
    retry: 'never',
    alert: false,
    remedy: 'Keys are never reused; run again to use a new one.',
  },
  object_key_invalid: {
    status: 400,
    title: 'The object key is not valid',
    retry: 'never',
    alert: true,
    remedy: 'Use lower-case path segments without dots at the front.',
  },
  storage_contract_broken: {
    status: 502,
    title: 'The storage does not keep its contract',
    retry: 'never',
    alert: true,
    remedy: 'Run holdfast storage check and use a storage that passes it.',
  },

  not_a_repository: {
    status: 404,
    title: 'There is no Holdfast repository at this place',
    retry: 'never',
    alert: false,
    remedy: 'Check the URL, or create one with holdfast repo init.',
  },
  repository_exists: {
    status: 409,
    title: 'There is a repository at this place already',
    retry: 'never',
    alert: false,
    remedy: 'Use it as it is, or choose an empty directory.',
  },
  repository_newer: {
    status: 409,
    title: 'The repository was written by a newer version',
    retry: 'never',
    alert: false,
    remedy: 'Update Holdfast on this machine.',
  },
  repository_damaged: {
    status: 500,
    title: 'The repository holds a damaged object',
    retry: 'never',
    alert: true,
    remedy: 'Run holdfast verify; other points may still be whole.',
  },
  repository_owned: {
    status: 409,
    title: 'The repository belongs to another owner',
    retry: 'never',
    alert: false,
    remedy: 'Work through its server, or take it over with --takeover.',
  },
  key_required: {
    status: 401,
    title: 'The repository is encrypted and no passphrase was given',
    retry: 'never',
    alert: false,
    remedy: 'Set HOLDFAST_PASSPHRASE or pass --passphrase-file.',
  },
  key_wrong: {
    status: 401,
    title: 'The passphrase opens no key of this repository',
    retry: 'never',
    alert: false,
    remedy: 'Check the passphrase; holdfast key list shows the keys.',
  },
  key_missing: {
    status: 500,
    title: 'A key that the repository needs is missing',
    retry: 'never',
    alert: true,
    remedy: 'Bring back the keys/ folder of the storage, or copy an exported key to keys/ under its id.',
  },
  last_key: {
    status: 409,
    title: 'The last key that opens the repository stays',
    retry: 'never',
    alert: false,
    remedy: 'Add another passphrase first with holdfast key add, or replace this one with holdfast key rotate.',
  },

  point_not_found: {
    status: 404,
    title: 'There is no such restore point',
    retry: 'never',
    alert: false,
    remedy: 'holdfast points lists what there is.',
  },
  point_ambiguous: {
    status: 409,
    title: 'More than one restore point begins like this',
    retry: 'never',
    alert: false,
    remedy: 'Give more characters of its id.',
  },
  point_without_machine: {
    status: 422,
    title: 'The restore point keeps no virtual machine',
    retry: 'never',
    alert: false,
    remedy: 'Bring its disks back one by one with holdfast restore; points of holdfast vm backup keep the machine too.',
  },
  disk_not_found: {
    status: 404,
    title: 'The restore point has no such disk',
    retry: 'never',
    alert: false,
    remedy: 'Name one of its disks with --disk.',
  },
  resource_invalid: {
    status: 422,
    title: 'The resource name is not valid',
    retry: 'never',
    alert: false,
    exitCode: 2,
    remedy: 'Use volumes/NAME or instances/NAME with letters, digits, dot, dash and underscore.',
  },
  resource_busy: {
    status: 409,
    title: 'Another backup of this resource is running',
    retry: 'later',
    alert: false,
    remedy: 'Wait for it to end. If its host is gone for good, fence its session with --fence.',
  },
  session_fenced: {
    status: 409,
    title: 'The session was fenced before it committed',
    retry: 'later',
    alert: true,
    remedy: 'Run the backup again.',
  },
  pack_condemned: {
    status: 409,
    title: 'A pack that the point refers to is being collected',
    retry: 'later',
    alert: false,
    remedy: 'Run the backup again.',
  },
  collect_refused: {
    status: 409,
    title: 'Not everything in use can be seen, so nothing is collected',
    retry: 'never',
    alert: true,
    remedy:
      'Run holdfast verify --presence. A point that cannot be brought back keeps the others from being collected until it is deleted and purged (holdfast delete, then collect --trash-days 0).',
  },
  manifest_vanished: {
    status: 409,
    title: 'Restore points are gone that nobody deleted',
    retry: 'never',
    alert: true,
    remedy:
      'Find out what removed them, and bring their manifests back if you can: what they use is still there. holdfast collect --accept-vanished gives them up.',
  },
  chunk_corrupt: {
    status: 500,
    title: 'A chunk on the storage is damaged or missing',
    retry: 'never',
    alert: true,
    remedy: 'Run holdfast verify to see which points are concerned; back up again to heal what still exists.',
  },
  source_point_damaged: {
    status: 500,
    title: 'The restore point to be copied is damaged',
    retry: 'never',
    alert: true,
    remedy: 'Run holdfast verify on the storage it is copied from.',
  },
  copy_incomplete: {
    status: 500,
    title: 'Not every restore point could be copied',
    retry: 'later',
    alert: true,
    remedy: 'The report names the points and why. Run again: what was copied is not copied twice.',
  },

  source_not_found: {
    status: 404,
    title: 'The source does not exist',
    retry: 'never',
    alert: false,
    remedy: 'Check the path or the export name.',
  },
  source_unreadable: {
    status: 422,
    title: 'The source cannot be read',
    retry: 'never',
    alert: false,
    remedy: 'Check permissions and that the image is whole (qemu-img check).',
  },
  source_changed: {
    status: 409,
    title: 'The source changed its size while it was read',
    retry: 'later',
    alert: false,
    remedy: 'Back up a snapshot, or a disk that is not in use.',
  },
  image_damaged: {
    status: 500,
    title: 'The tables of the disk image are damaged',
    retry: 'never',
    alert: true,
    remedy:
      'Shut the machine down and look at the image with qemu-img check; restore the disk from its last backup if that cannot repair it.',
  },
  image_unsupported: {
    status: 422,
    title: 'The disk image is of a kind that this cannot be done with',
    retry: 'never',
    alert: false,
    remedy: 'Convert it with qemu-img convert -O qcow2.',
  },
  volume_busy: {
    status: 409,
    title: 'The volume is in use',
    retry: 'later',
    alert: false,
    remedy: 'Shut down the machine that uses it, or wait for the program that has it open.',
  },
  snapshot_name_invalid: {
    status: 422,
    title: 'The name of the snapshot is not valid',
    retry: 'never',
    alert: false,
    exitCode: 2,
    remedy: 'Use a name of up to 255 bytes that is no number.',
  },
  snapshot_exists: {
    status: 409,
    title: 'There is a snapshot with this name already',
    retry: 'never',
    alert: false,
    remedy: 'Choose another name, or delete that one.',
  },
  snapshot_not_found: {
    status: 404,
    title: 'There is no such snapshot',
    retry: 'never',
    alert: false,
    remedy: 'holdfast volume snapshot list and holdfast vm snapshot list show what there is.',
  },
  snapshot_ambiguous: {
    status: 409,
    title: 'More than one snapshot has this name',
    retry: 'never',
    alert: false,
    remedy: 'Delete one of them with the program that made it; QEMU goes by their name.',
  },
  snapshot_incomplete: {
    status: 409,
    title: 'Not every disk of the machine has this snapshot',
    retry: 'never',
    alert: false,
    remedy: 'Delete it with holdfast vm snapshot delete. Its disks by themselves: holdfast volume snapshot clone.',
  },
  snapshot_would_stall: {
    status: 409,
    title: 'The snapshot would let the running machine stand still for too long',
    retry: 'never',
    alert: false,
    remedy: 'Shut the machine down first, or accept the pause with --allow-stall.',
  },
  bitmap_not_found: {
    status: 404,
    title: 'The source has no such dirty bitmap',
    retry: 'never',
    alert: false,
    remedy: 'qemu-img info lists the bitmaps of an image; leave --bitmap out to read everything.',
  },
  bitmap_inconsistent: {
    status: 409,
    title: 'The dirty bitmap is inconsistent and cannot be trusted',
    retry: 'never',
    alert: false,
    remedy: 'QEMU did not end cleanly. Remove it with qemu-img bitmap --remove and read everything once.',
  },
  changed_extents_invalid: {
    status: 422,
    title: 'The file of changed extents is not valid',
    retry: 'never',
    alert: false,
    remedy: 'It is a JSON array of {"offset", "length"} in bytes inside the disk.',
  },
  nbd_failed: {
    status: 502,
    title: 'The NBD peer failed or broke the protocol',
    retry: 'later',
    alert: true,
    remedy: 'Check the NBD server and its log.',
  },
  address_in_use: {
    status: 409,
    title: 'Another program serves at this address',
    retry: 'never',
    alert: false,
    remedy: 'Stop it, or choose another socket or port.',
  },
  qemu_failed: {
    status: 502,
    title: 'A QEMU program failed',
    retry: 'never',
    alert: true,
    remedy: 'Read its message; install qemu-utils if it is missing.',
  },

  libvirt_unreachable: {
    status: 503,
    title: 'The libvirt service cannot be reached',
    retry: 'later',
    alert: true,
    remedy:
      'Check that libvirtd (or virtqemud) runs on that host and that the address is right: virsh --connect URI list.',
  },
  libvirt_denied: {
    status: 403,
    title: 'The libvirt service refuses access',
    retry: 'never',
    alert: true,
    remedy: 'Run as root, or as a member of the group libvirt.',
  },
  libvirt_remote: {
    status: 422,
    title: 'This cannot be done over a remote libvirt connection',
    retry: 'never',
    alert: false,
    remedy:
      'Run Holdfast on the host of the machine itself, with --connect qemu:///system. A remote connection lists machines only.',
  },
  libvirt_timeout: {
    status: 504,
    title: 'The libvirt service did not answer in time',
    retry: 'later',
    alert: true,
    remedy: 'Check that libvirtd and the QEMU of the machine are alive; a stopped QEMU process keeps libvirt waiting.',
  },
  libvirt_failed: {
    status: 502,
    title: 'The libvirt service failed',
    retry: 'never',
    alert: true,
    remedy: 'Read its message; the log of libvirtd says more.',
  },
  vm_not_found: {
    status: 404,
    title: 'There is no such virtual machine',
    retry: 'never',
    alert: false,
    remedy: 'holdfast vm list shows the machines of this host.',
  },
  vm_exists: {
    status: 409,
    title: 'There is a virtual machine of this name or UUID already',
    retry: 'never',
    alert: false,
    remedy: 'Choose another name, or remove that machine first.',
  },
  vm_state_invalid: {
    status: 409,
    title: 'The virtual machine is in the wrong state for this',
    retry: 'never',
    alert: false,
    remedy: 'Start it or shut it down first, as the message says.',
  },
  vm_busy: {
    status: 409,
    title: 'Another job of the virtual machine is running',
    retry: 'later',
    alert: false,
    remedy: 'Wait for it to end: virsh domjobinfo shows it, virsh domjobabort ends it.',
  },
  vm_definition_invalid: {
    status: 422,
    title: 'The definition of a virtual machine is not valid',
    retry: 'never',
    alert: false,
    remedy: 'Check the XML with virt-xml-validate.',
  },
  vm_unsupported: {
    status: 422,
    title: 'Neither libvirt nor QEMU can do this with the virtual machine',
    retry: 'never',
    alert: false,
    remedy: 'Read the message; a newer QEMU or libvirt, or another configuration of the machine, may be needed.',
  },
  vm_state_too_large: {
    status: 422,
    title: 'The firmware variables or TPM state of the virtual machine are too large',
    retry: 'never',
    alert: true,
    remedy: 'Check the file named: it is a few hundred KiB in a healthy machine.',
  },
  vm_disk_not_found: {
    status: 404,
    title: 'The virtual machine has no such disk',
    retry: 'never',
    alert: false,
    remedy: 'holdfast vm list shows its disks.',
  },
  backup_job_ended: {
    status: 409,
    title: 'The backup job of the virtual machine ended before everything was read',
    retry: 'later',
    alert: false,
    remedy:
      'The machine was turned off, its QEMU died, or somebody ended the job. Run the backup again: a machine that is off can be backed up too.',
  },
  vm_started: {
    status: 409,
    title: 'The virtual machine was started while its disks were read',
    retry: 'later',
    alert: false,
    remedy: 'Run the backup again: a machine that runs is backed up while it runs.',
  },
  guest_hook_failed: {
    status: 502,
    title: 'The hook in the guest failed',
    retry: 'later',
    alert: false,
    remedy:
      'Run it by hand in the guest (/etc/holdfast/quiesce freeze, then thaw), or back up with --consistency prefer.',
  },
  scratch_full: {
    status: 507,
    title: 'The scratch space for a live backup is full',
    retry: 'later',
    alert: true,
    remedy:
      'Free space there, or name a roomier place with --scratch: it holds what the guest overwrites while the backup runs.',
  },
  scratch_unusable: {
    status: 422,
    title: 'The scratch directory for a live backup cannot be used',
    retry: 'never',
    alert: false,
    remedy: 'Run as root, and name a directory with --scratch that QEMU may write to.',
  },
  checkpoint_not_found: {
    status: 404,
    title: 'The virtual machine has no such checkpoint',
    retry: 'never',
    alert: false,
    remedy: 'Back up in full; the next increments follow from there.',
  },
  checkpoint_inconsistent: {
    status: 409,
    title: 'The checkpoint lost track of what was written',
    retry: 'never',
    alert: false,
    remedy: 'QEMU did not end cleanly, or a bitmap was removed. Remove the checkpoint and back up in full.',
  },
  guest_agent_missing: {
    status: 409,
    title: 'The virtual machine has no guest agent',
    retry: 'never',
    alert: false,
    remedy: 'Install and start qemu-guest-agent in the guest, and give the machine the channel org.qemu.guest_agent.0.',
  },
  guest_agent_unresponsive: {
    status: 504,
    title: 'The guest agent does not answer',
    retry: 'later',
    alert: false,
    remedy: 'Check qemu-guest-agent in the guest; restart it if it hangs.',
  },
  guest_command_failed: {
    status: 502,
    title: 'The guest agent refused or failed',
    retry: 'never',
    alert: false,
    remedy: 'Read its message; the agent may forbid the command (block-rpcs in its configuration).',
  },
  guest_command_timeout: {
    status: 504,
    title: 'A program in the guest did not end in time',
    retry: 'later',
    alert: false,
    remedy: 'Make it quicker, or give it more time.',
  },

  restore_incomplete: {
    status: 500,
    title: 'Part of the disk could not be restored',
    retry: 'never',
    alert: true,
    remedy:
      'The ranges named are zeros on a new target, and as they were on one that existed. Bring them from another point or a copy; a new backup and holdfast verify --heal may bring them back.',
  },
  target_exists: {
    status: 409,
    title: 'The target exists already',
    retry: 'never',
    alert: false,
    remedy: 'Choose another path, or overwrite it with --force.',
  },
  target_too_small: {
    status: 422,
    title: 'The target is smaller than the disk',
    retry: 'never',
    alert: false,
    remedy: 'Use a target of at least the size named.',
  },
  target_full: {
    status: 507,
    title: 'The target ran out of space',
    retry: 'later',
    alert: false,
    remedy: 'Free space at the target and run again.',
  },
  target_unwritable: {
    status: 403,
    title: 'The target cannot be written',
    retry: 'never',
    alert: false,
    remedy: 'Check the directory and its permissions.',
  },
  incompatible_target: {
    status: 422,
    title: 'The target cannot take this disk',
    retry: 'never',
    alert: false,
    remedy: 'Choose a target of a kind and size that fit.',
  },
} as const satisfies Record<string, ErrorEntry>;

export type ErrorCode = keyof typeof errorCatalogue;
