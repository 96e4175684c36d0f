import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import { headerRewriter } from "./header-rewriter.ts";
import type { HeaderRewriter } from "./header-rewriter.ts";

/** A connection as the server sees it once a rewriter has gone over what the client sends. */
export class RewrittenConnection extends Duplex {
  readonly #socket: Socket;
  readonly #rewriter: HeaderRewriter;

  /** Takes over a paused socket; `held` is what was read from it so far, from its first byte on. */
  constructor(socket: Socket, held: Buffer) {
    super();
    this.#socket = socket;
    this.#rewriter = headerRewriter();
    socket.on("data", (bytes: Buffer) => this.#take(bytes));
    socket.once("end", () => this.push(null));
    socket.once("error", () => this.destroy());
    socket.once("close", () => this.destroy());
    this.#take(held);
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    this.#socket.write(chunk, done);
  }

  override _writev(chunks: { chunk: Buffer }[], done: (error?: Error | null) => void): void {
    this.#socket.write(Buffer.concat(chunks.map(({ chunk }) => chunk)), done);
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#socket.end(() => done());
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#socket.destroy();
    done(error);
  }

  #take(bytes: Buffer): void {
    try {
      for (const out of this.#rewriter.push(bytes)) {
        if (!this.push(out)) this.#socket.pause();
      }
    } catch {
      // To the client it is a connection that broke, which every client mends by a new one.
      this.destroy();
    }
  }
}
