import type {
  AnyNode,
  ArgumentNode,
  ChainNode,
  CommandNode,
  IdentifierNode,
  NumberNode,
  PipeNode,
  VariableNode,
} from "./ast.ts";
import { formatNode } from "./ast.ts";
import type { Budget } from "./budget.ts";
import { exceeded } from "./budget.ts";
import type { Builtin } from "./builtins.ts";
import { BUILTINS, callFunctionValue } from "./builtins.ts";
import { CallFailure, execFailure } from "./exec-failure.ts";
import { evaluateField } from "./field.ts";
import { literalFor, nilFor, validate } from "./parameter.ts";
import { MISSING } from "./runner.ts";
import type { Arguments, Final, Parameter, Runner } from "./runner.ts";
import { scanText } from "./text-cost.ts";
import { isTrue } from "./truth.ts";
import type { Maybe, Value } from "./value.ts";
import { boolValue, complexValue, floatValue, intValue, stringValue } from "./value.ts";

interface Variable {
  readonly name: string;
  value: Maybe;
}

/** Evaluates expressions of one running template (Go: text/template exec.go, eval functions). */
export class Evaluator implements Runner {
  readonly text: string;
  readonly template: string;
  readonly budget: Budget;
  protected depth: number;
  protected vars: Variable[];
  #node: AnyNode;

  constructor(start: {
    text: string;
    template: string;
    budget: Budget;
    root: AnyNode;
    depth: number;
    dot: Maybe;
  }) {
    this.text = start.text;
    this.template = start.template;
    this.budget = start.budget;
    this.depth = start.depth;
    this.vars = [{ name: "$", value: start.dot }];
    this.#node = start.root;
  }

  /** The node that runs now, for errors. */
  get place() {
    return { text: this.text, node: this.#node, template: this.template };
  }

  at(node: AnyNode): void {
    this.#node = node;
  }

  fail(reason: string): never {
    throw execFailure(this.place, reason);
  }

  protected enter(): void {
    if (++this.depth > this.budget.limits.depth) {
      throw exceeded(`nests deeper than ${this.budget.limits.depth} levels`);
    }
  }

  protected setVariable(name: string, value: Maybe): void {
    this.#find(name).value = value;
  }

  /** The innermost variable of a name; each one passed on the way counts. */
  #find(name: string): Variable {
    const { vars } = this;
    let index = vars.length - 1;
    while (index >= 0 && vars[index]?.name !== name) index--;
    this.budget.spend(vars.length - index);
    return vars[index] ?? this.fail(`undefined variable: ${name}`);
  }

  protected pipeline(dot: Maybe, pipe: PipeNode): Maybe {
    this.enter();
    this.at(pipe);
    let value: Final = MISSING;
    for (const command of pipe.commands) value = this.#command(dot, command, value);
    this.depth--;
    // The parser lets no pipeline through without a command.
    const result = value === MISSING ? undefined : value;
    for (const { path } of pipe.declared) {
      const name = path[0] ?? "";
      if (pipe.assign) this.setVariable(name, result);
      else this.vars.push({ name, value: result });
    }
    return result;
  }

  #command(dot: Maybe, command: CommandNode, final: Final): Maybe {
    this.budget.step();
    const { args } = command;
    const first = args[0] as ArgumentNode;
    const given: Arguments = { nodes: args.slice(1), final, dot };
    switch (first.kind) {
      case "field":
        this.at(first);
        return this.#fields(dot, { node: first, path: first.path }, given);
      case "chain":
        return this.#chain(first, given);
      case "identifier":
        return this.#function(first, command, given);
      case "pipe":
        this.#notAFunction(first, given);
        return this.pipeline(dot, first);
      case "variable":
        return this.#variable(first, given);
      default:
    }
    this.at(first);
    this.#notAFunction(first, given);
    if (first.kind === "nil") this.fail("nil is not a command");
    return this.#literal(dot, first);
  }

  #notAFunction(node: ArgumentNode, given: Arguments): void {
    if (given.nodes.length > 0 || given.final !== MISSING) {
      this.fail(`can't give argument to non-function ${formatNode(node)}`);
    }
  }

  /** A literal or dot, in a place that says nothing about its type. */
  #literal(dot: Maybe, node: ArgumentNode): Maybe {
    switch (node.kind) {
      case "bool":
        return boolValue(node.value);
      case "string":
        return stringValue(node.value);
      case "number":
        return this.#number(node);
      case "dot":
        return dot;
      default:
        return this.fail(`can't evaluate command ${formatNode(node)}`);
    }
  }

  /** The type of a number follows from how it is written. */
  #number(node: NumberNode): Value {
    this.at(node);
    if (node.complex !== undefined) return complexValue(node.complex);
    const hex = /^0x/i.test(node.text) && !/p/i.test(node.text);
    if (
      node.float !== undefined &&
      !hex &&
      !node.text.startsWith("'") &&
      /[.eEpP]/.test(node.text)
    ) {
      return floatValue(node.float);
    }
    if (node.int === undefined) this.fail(`${node.text} overflows int`);
    return intValue(node.int);
  }

  #variable(node: VariableNode, given: Arguments): Maybe {
    this.at(node);
    const [name = "", ...path] = node.path;
    const variable = this.#find(name);
    if (path.length > 0) return this.#fields(variable.value, { node, path }, given);
    this.#notAFunction(node, given);
    return variable.value;
  }

  #chain(node: ChainNode, given: Arguments): Maybe {
    this.at(node);
    if (node.node.kind === "nil")
      this.fail(`indirection through explicit nil in ${formatNode(node)}`);
    const receiver = this.argument(given.dot, undefined, node.node);
    return this.#fields(receiver, { node, path: node.path }, given);
  }

  #fields(
    start: Maybe,
    chain: { node: ArgumentNode; path: readonly string[] },
    given: Arguments,
  ): Maybe {
    let receiver = start;
    const last = chain.path.length - 1;
    for (let index = 0; index <= last; index++) {
      this.budget.step();
      const name = chain.path[index] ?? "";
      const args = index === last ? given : NO_ARGUMENTS;
      receiver = evaluateField(this, receiver, { name, node: chain.node, args });
    }
    return receiver;
  }

  #function(node: IdentifierNode, command: AnyNode, given: Arguments): Maybe {
    this.at(node);
    const builtin = BUILTINS.get(node.name);
    if (builtin === undefined) this.fail(`"${node.name}" is not a defined function`);
    const final = given.final === MISSING ? 0 : 1;
    this.checkCount(node.name, given, {
      fixed: builtin.fixed.length,
      variadic: builtin.variadic !== undefined,
    });
    if (node.name === "and" || node.name === "or") return this.#shortCircuit(node.name, given);
    const args = given.nodes.map((arg, index) => {
      return this.argument(given.dot, parameterOf(builtin, index), arg);
    });
    if (given.final !== MISSING) {
      const parameter = parameterOf(builtin, args.length);
      args.push(validate(this, given.final, parameter));
    }
    for (const arg of args) scanText(arg, this.budget);
    return this.guard(node.name, command, () => {
      if (node.name !== "call") return builtin.call(args, this.budget);
      const named = given.nodes[0];
      return callFunctionValue(args[0], named ? formatNode(named) : nameOfFinal(args[0], final));
    });
  }

  /** Go's argument count check; the words differ for variadic functions. */
  checkCount(name: string, given: Arguments, want: { fixed: number; variadic: boolean }): void {
    const count = given.nodes.length + (given.final === MISSING ? 0 : 1);
    if (want.variadic && count < want.fixed) {
      const words = `want at least ${want.fixed} got ${given.nodes.length}`;
      this.fail(`wrong number of args for ${name}: ${words}`);
    }
    if (!want.variadic && count !== want.fixed) {
      this.fail(`wrong number of args for ${name}: want ${want.fixed} got ${count}`);
    }
  }

  /** Runs a function; what it refuses is reported at `node`. */
  guard(name: string, node: AnyNode, run: () => Maybe): Maybe {
    try {
      return run();
    } catch (error) {
      if (!(error instanceof CallFailure)) throw error;
      this.at(node);
      return this.fail(`error calling ${name}: ${error.message}`);
    }
  }

  #shortCircuit(name: "and" | "or", given: Arguments): Maybe {
    let value: Maybe;
    for (const node of given.nodes) {
      value = this.argument(given.dot, "value", node);
      if (isTrue(value, this.budget) === (name === "or")) return value;
    }
    return given.final === MISSING ? value : given.final;
  }

  /** Evaluates an argument for a parameter; undefined = the receiver of a chain. */
  argument(dot: Maybe, parameter: Parameter | undefined, node: ArgumentNode): Maybe {
    this.at(node);
    this.budget.step();
    const given: Arguments = { nodes: [], final: MISSING, dot };
    switch (node.kind) {
      case "dot":
        return validate(this, dot, parameter);
      case "nil":
        return nilFor(this, parameter);
      case "field":
        return validate(this, this.#fields(dot, { node, path: node.path }, given), parameter);
      case "variable":
        return validate(this, this.#variable(node, given), parameter);
      case "pipe":
        return validate(this, this.pipeline(dot, node), parameter);
      case "identifier":
        return validate(this, this.#function(node, node, given), parameter);
      case "chain":
        return validate(this, this.#chain(node, given), parameter);
      default:
        if (parameter === "value" || parameter === "any") return this.#literal(dot, node);
        return literalFor(this, parameter, node);
    }
  }
}

const NO_ARGUMENTS: Arguments = { nodes: [], final: MISSING, dot: undefined };

function parameterOf(builtin: Builtin, index: number): Parameter {
  return builtin.fixed[index] ?? builtin.variadic ?? "value";
}

/** How Go names a function that came through the pipeline (reflect.Value.String). */
function nameOfFinal(value: Maybe, final: number): string {
  if (value === undefined || final === 0) return "<invalid Value>";
  return value.type.kind === "string" ? (value.raw as string) : `<${value.type.text} Value>`;
}
