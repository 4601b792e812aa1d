/** A program that opens the database of its argument, commits a number, prints the postmaster's pid and stays. */
import { addNumber, makeNumbers, openEmbedded, postmasterPid } from './embedded-fixture.ts';

const database = await openEmbedded(process.argv[2]!);
await makeNumbers(database);
await addNumber(database, 1);
process.stdout.write(`${await postmasterPid(database)}\n`);
setInterval(() => undefined, 1000);
