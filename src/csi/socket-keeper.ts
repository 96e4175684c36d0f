import type { Server } from "@grpc/grpc-js";
import type { Clock } from "../core/clock.ts";
import { errorMessage } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import { serveUnix } from "../rpc/unix.ts";
import type { UnixListener } from "../rpc/unix.ts";

/** How soon a removed socket is made again. */
const LOOK_EVERY_MS = 2000;

/** Only root, which is kubelet, may call. */
const SOCKET_MODE = 0o600;

/** A socket that stays. */
export interface KeptSocket {
  close(): Promise<void>;
}

/**
 * Lets `server` listen on `path`, and makes the socket again whenever its file vanishes: whoever cleans the
 * folder would otherwise cut kubelet off until a restart. Throws what `serveUnix` throws for the first time.
 */
export async function keepSocket(
  server: Server,
  path: string,
  { clock, log }: { readonly clock: Clock; readonly log: Log },
): Promise<KeptSocket> {
  const stop = new AbortController();
  const onError = (error: Error): void =>
    log.error({ path, error: error.message }, "caller could not be taken in");
  const serve = (): Promise<UnixListener> =>
    serveUnix(server, path, { mode: SOCKET_MODE, onError });
  let listener = await serve();
  const look = async (): Promise<void> => {
    if (!(await listener.isGone())) return;
    log.warn({ path }, "socket was removed; it is made again");
    const gone = listener;
    listener = await serve();
    await gone.close();
  };
  const watching = (async () => {
    while (!stop.signal.aborted) {
      await clock.sleep(LOOK_EVERY_MS, stop.signal).catch(() => undefined);
      if (stop.signal.aborted) return;
      await look().catch((error: unknown) =>
        log.error({ path, error: errorMessage(error) }, "socket could not be made again"),
      );
    }
  })();
  return {
    async close() {
      stop.abort();
      await watching;
      await listener.close();
    },
  };
}
