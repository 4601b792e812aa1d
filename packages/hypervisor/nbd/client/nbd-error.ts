/** How failures of an NBD peer are worded; every one names the export. */
import { HoldfastError } from '@holdfast/base';
import { type CommandName, errnoName } from '../protocol.ts';

export type NbdErrorContext = {
  /** The export as an NBD URI. */
  readonly uri: string;
  readonly command?: CommandName | 'connect' | undefined;
  readonly offset?: number | undefined;
};

export function nbdError(
  context: NbdErrorContext,
  what: string,
  more: { readonly cause?: unknown; readonly errno?: number | string; readonly remedy?: string } = {},
): HoldfastError {
  const errno = typeof more.errno === 'number' ? errnoName(more.errno) : more.errno;
  const at = context.offset === undefined ? '' : ` at ${context.offset}`;
  const doing = context.command === undefined ? '' : ` ${context.command}${at}:`;
  return new HoldfastError('nbd_failed', `${context.uri}:${doing} ${what}${errno ? ` (${errno})` : ''}`, {
    cause: more.cause,
    ...(more.remedy !== undefined && { remedy: more.remedy }),
    facts: {
      export: context.uri,
      ...(context.command !== undefined && { command: context.command }),
      ...(context.offset !== undefined && { offset: context.offset }),
      ...(errno !== undefined && { errno }),
    },
  });
}

/** The peer said something that the protocol does not allow. */
export function protocolBreach(context: NbdErrorContext, what: string): HoldfastError {
  return nbdError(context, `the server broke the protocol: ${what}`);
}
