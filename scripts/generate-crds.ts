import { stringify } from "yaml";
import { buildCrd } from "../src/api/crd.ts";
import { CRDS } from "../src/api/crds.ts";

/** The chart cannot read files outside its own folder, so it has a copy. */
const FOLDERS = ["crds", "charts/signet/files/crds"];
const HEADER = "# Generated from the schemas in src/api/ by `npm run generate`; do not edit.\n";

/** The CRD files: path from the repository's root → content. */
export function generateCrds(): Map<string, string> {
  const files = new Map<string, string>();
  for (const input of CRDS) {
    const { group, plural } = input.resource;
    const content = HEADER + stringify(buildCrd(input), { lineWidth: 100 });
    for (const folder of FOLDERS) files.set(`${folder}/${group}_${plural}.yaml`, content);
  }
  return files;
}
