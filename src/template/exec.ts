import type { BranchNode, ListNode, StatementNode, TemplateNode } from "./ast.ts";
import type { Budget } from "./budget.ts";
import { exceeded } from "./budget.ts";
import { describe, printDirectly } from "./builtins.ts";
import { Evaluator } from "./eval.ts";
import { locate } from "./exec-failure.ts";
import { quote } from "./quote.ts";
import { scanText } from "./text-cost.ts";
import { isTrue } from "./truth.ts";
import type { Maybe } from "./value.ts";
import { Value, elementAt, indirect, intValue, isInteger, lengthOf, mapEntries } from "./value.ts";

export interface Program {
  readonly text: string;
  readonly root: ListNode;
  readonly defined: ReadonlyMap<string, ListNode>;
}

/** How a statement list ended. */
type Flow = "next" | "break" | "continue";

/** The text that a rendering has written so far. */
interface Output {
  text: string;
}

/**
 * Runs a program on its data (Go: Template.Execute); the result is a byte string.
 * Throws SignetError TEMPLATE_EXEC with the place and Go's words, or when a limit is reached.
 */
export function execute(program: Program, data: Value, budget: Budget): string {
  const output: Output = { text: "" };
  const frame = { template: "", root: program.root, dot: data, depth: 0 };
  runFrame(program, frame, { budget, output });
  return output.text;
}

interface Frame {
  readonly template: string;
  readonly root: ListNode;
  readonly dot: Maybe;
  readonly depth: number;
}

interface Shared {
  readonly budget: Budget;
  readonly output: Output;
}

function runFrame(program: Program, frame: Frame, shared: Shared): void {
  const run = new Execution(program, frame, shared);
  try {
    run.list(frame.dot, frame.root);
  } catch (error) {
    throw locate(error, run.place);
  }
}

/** One running template body (Go: text/template exec.go, walk functions). */
class Execution extends Evaluator {
  readonly #program: Program;
  readonly #output: Output;

  constructor(program: Program, frame: Frame, shared: Shared) {
    super({ ...frame, text: program.text, budget: shared.budget });
    this.#program = program;
    this.#output = shared.output;
  }

  list(dot: Maybe, list: ListNode): Flow {
    this.enter();
    for (const node of list.nodes) {
      const flow = this.#statement(dot, node);
      if (flow !== "next") {
        this.depth--;
        return flow;
      }
    }
    this.depth--;
    return "next";
  }

  #statement(dot: Maybe, node: StatementNode): Flow {
    this.at(node);
    this.budget.step();
    switch (node.kind) {
      case "text":
        this.#write(node.text);
        return "next";
      case "action": {
        const value = this.pipeline(dot, node.pipe);
        if (node.pipe.declared.length > 0) return "next";
        this.at(node);
        this.#write(printDirectly(value, this.budget));
        return "next";
      }
      case "if":
      case "with":
        return this.#branch(dot, node);
      case "range":
        return this.#range(dot, node);
      case "template":
        this.#template(dot, node);
        return "next";
      default:
        return node.kind;
    }
  }

  #write(text: string): void {
    this.#output.text += text;
    const { outputBytes } = this.budget.limits;
    if (this.#output.text.length > outputBytes) {
      throw exceeded(`writes more than ${outputBytes} bytes`);
    }
  }

  #branch(dot: Maybe, node: BranchNode): Flow {
    const scope = this.vars.length;
    const value = this.pipeline(dot, node.pipe);
    let flow: Flow = "next";
    if (isTrue(value, this.budget)) flow = this.list(node.kind === "with" ? value : dot, node.list);
    else if (node.elseList !== undefined) flow = this.list(dot, node.elseList);
    this.vars.length = scope;
    return flow;
  }

  #range(dot: Maybe, node: BranchNode): Flow {
    const scope = this.vars.length;
    const value = this.pipeline(dot, node.pipe);
    const target = value === undefined ? undefined : indirect(value);
    let ran = false;
    for (const [key, element] of this.#items(target, node)) {
      ran = true;
      if (this.#iterate(node, key, element) === "break") break;
    }
    // Outside its loop the variable is the whole value; a break there ends this range too.
    const flow = ran || node.elseList === undefined ? "next" : this.list(dot, node.elseList);
    this.vars.length = scope;
    return flow === "break" ? "next" : flow;
  }

  #iterate(node: BranchNode, key: Maybe, element: Maybe): Flow {
    this.budget.step();
    scanText(element, this.budget);
    const { declared, assign } = node.pipe;
    const mark = this.vars.length;
    const names = declared.map((variable) => variable.path[0] ?? "");
    const values = names.length > 1 ? [key, element] : [element];
    for (const [index, name] of names.entries()) {
      if (assign) this.setVariable(name, values[index]);
      else {
        const variable = this.vars[mark - names.length + index];
        if (variable !== undefined) variable.value = values[index];
      }
    }
    const flow = this.list(element, node.list);
    this.vars.length = mark;
    return flow;
  }

  /** What a range goes over, with keys; refuses what Go refuses. */
  *#items(target: Maybe, node: BranchNode): Generator<[Maybe, Maybe]> {
    if (target === undefined) return;
    const { type } = target;
    if (isInteger(type)) {
      if (node.pipe.declared.length > 1) {
        const shown = describe(target, "v", this.budget);
        this.fail(`can't use ${shown} to iterate over more than one variable`);
      }
      for (let n = 0n; n < (target.raw as bigint); n++) yield [undefined, new Value(type, n)];
      return;
    }
    if (type.kind === "slice") {
      const length = lengthOf(target, this.budget) ?? 0;
      for (let n = 0; n < length; n++) yield [intValue(BigInt(n)), elementAt(target, n)];
      return;
    }
    if (type.kind !== "map") {
      this.fail(`range can't iterate over ${describe(target, "v", this.budget)}`);
    }
    yield* mapEntries(target, this.budget);
  }

  #template(dot: Maybe, node: TemplateNode): void {
    const root = this.#program.defined.get(node.name);
    if (root === undefined) this.fail(`template ${quote(node.name)} not defined`);
    const argument = node.pipe === undefined ? undefined : this.pipeline(dot, node.pipe);
    const frame: Frame = { template: node.name, root, dot: argument, depth: this.depth + 1 };
    runFrame(this.#program, frame, { budget: this.budget, output: this.#output });
  }
}
