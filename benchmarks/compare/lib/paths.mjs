// Where things are.
import {dirname, join} from "node:path";
import {fileURLToPath} from "node:url";

export const here = dirname(dirname(fileURLToPath(import.meta.url)));
export const root = join(here, "../..");
export const qwen = join(root, "qwen");
/** What this tool builds and fetches; nothing of it is kept in the repository. */
export const target = join(here, "target");
