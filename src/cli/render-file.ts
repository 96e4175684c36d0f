import { errorMessage, isSignetError, SignetError } from "../core/errors.ts";
import type { RenderView } from "../inspect/ports.ts";
import type { Render } from "./command.ts";
import { parseDocuments } from "./documents.ts";
import type { RenderedObject } from "./documents.ts";
import { printItems } from "./output.ts";
import { isValid, printPreview } from "./print-rule.ts";
import { withSession } from "./session.ts";
import type { Session, Shell } from "./session.ts";

/** Shows what the objects of a file would give; resolves with whether all of them are valid. */
export async function renderFile(command: Render, shell: Shell): Promise<boolean> {
  const objects = await readObjects(command.file, shell);
  const views = await withSession(shell, command, async (session) => {
    const rendered: RenderView[] = [];
    for (const object of objects) rendered.push(await renderObject(object, session));
    return rendered;
  });
  const { output } = command;
  if (output === "json" || output === "yaml") await printItems(views, output, shell.print);
  else await shell.print(views.map((view) => printPreview(view, shell.now())).join("\n"));
  return views.every(isValid);
}

async function readObjects(file: string, shell: Shell): Promise<readonly RenderedObject[]> {
  const name = file === "-" ? "standard input" : file;
  try {
    const { objects, passedOver } = parseDocuments(await shell.readFile(file));
    for (const object of passedOver) shell.note(`passed over: ${object}`);
    if (objects.length > 0) return objects;
    throw new SignetError("INVALID_SPEC", "it holds no object that can be rendered");
  } catch (error) {
    const code = isSignetError(error) ? error.code : "SYSTEM";
    throw new SignetError(code, `${name}: ${errorMessage(error)}`, { cause: error });
  }
}

async function renderObject(object: RenderedObject, session: Session): Promise<RenderView> {
  try {
    const answer = await session.first({ method: "POST", target: "/v1/render", body: object });
    return (await answer.json()) as RenderView;
  } catch (error) {
    if (!isSignetError(error)) throw error;
    const { kind, metadata } = object;
    throw new SignetError(error.code, `${kind} ${metadata.name}: ${error.message}`, {
      cause: error,
      details: error.details,
    });
  }
}
