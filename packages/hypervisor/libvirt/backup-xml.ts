/** What libvirt is told of a pull backup: which disks, since when, through which socket. */
import { escapeXml } from './xml-text.ts';

export type BackupJobDisk = {
  /** `vda`: also the name of its NBD export. */
  readonly name: string;
  /** The checkpoint since which changes are wanted; absent: all of the disk. */
  readonly since?: string | undefined;
  /** Where QEMU keeps what the guest overwrites while the job lives. Made by libvirt; gone with the job. */
  readonly scratchPath: string;
};

/** Name of the bitmap that an incremental export offers. */
export function exportedBitmap(disk: string): string {
  return `backup-${disk}`;
}

/** Per disk, because one that knows no checkpoint would otherwise keep the others from being incremental. */
export function backupXml(job: { readonly socketPath: string; readonly disks: readonly BackupJobDisk[] }): string {
  const disks = job.disks.map(({ name, since, scratchPath }) => {
    const mode =
      since === undefined
        ? "backupmode='full'"
        : `backupmode='incremental' incremental='${escapeXml(since)}' exportbitmap='${exportedBitmap(name)}'`;
    return (
      `<disk name='${name}' backup='yes' type='file' ${mode} exportname='${name}'>` +
      `<driver type='qcow2'/><scratch file='${escapeXml(scratchPath)}'/></disk>`
    );
  });
  return (
    `<domainbackup mode='pull'><server transport='unix' socket='${escapeXml(job.socketPath)}'/>` +
    `<disks>${disks.join('')}</disks></domainbackup>`
  );
}

/** @param checkpoint.disks those that get a bitmap; the others of the machine get none */
export function checkpointXml(checkpoint: { readonly name: string; readonly disks: readonly string[] }): string {
  const disks = checkpoint.disks.map((name) => `<disk name='${name}' checkpoint='bitmap'/>`);
  return `<domaincheckpoint><name>${escapeXml(checkpoint.name)}</name><disks>${disks.join('')}</disks></domaincheckpoint>`;
}

/**
 * A checkpoint whose bitmaps are in the images already, for `DomainCheckpoints.redefine`.
 * @param checkpoint.domainXml the definition that it was made of
 */
export function redefinedCheckpointXml(checkpoint: {
  readonly name: string;
  readonly disks: readonly string[];
  readonly createdAtMs: number;
  readonly domainXml: string;
}): string {
  const { name, createdAtMs, domainXml } = checkpoint;
  const disks = checkpoint.disks.map(
    (disk) => `<disk name='${disk}' checkpoint='bitmap' bitmap='${escapeXml(name)}'/>`,
  );
  return (
    `<domaincheckpoint><name>${escapeXml(name)}</name><creationTime>${Math.floor(createdAtMs / 1000)}</creationTime>` +
    `<disks>${disks.join('')}</disks>${domainXml}</domaincheckpoint>`
  );
}
