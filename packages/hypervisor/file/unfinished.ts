/** How a new image is marked until it is whole: nobody but root can open it for reading. */
export const UNFINISHED_MODE = 0o200;
export const FINISHED_MODE = 0o600;
