import { readdirSync } from "node:fs";
import { copyFile } from "node:fs/promises";
import { join } from "node:path";
import { available, must } from "../e2e/cluster/exec.ts";
import { goProgram } from "../e2e/cluster/go-tools.ts";
import { installPackages } from "../e2e/cluster/packages.ts";
import { fileInputs, folderStep } from "../e2e/cluster/steps.ts";
import type { Workshop } from "../e2e/cluster/steps.ts";

/** A client that is ready to run. */
export interface Program {
  /** The command without its arguments. */
  readonly argv: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** The clients that speak the commands of README.md. */
export const LANGUAGES = ["go", "python", "rust", "java", "cpp"] as const;
export type Language = (typeof LANGUAGES)[number];

const GRPCURL = "github.com/fullstorydev/grpcurl/cmd/grpcurl";
const BUILD_MS = 1_200_000;
const CPP_PROGRAMS = ["g++", "pkg-config", "protoc", "grpc_cpp_plugin"];
const CPP_PACKAGES = [
  ...["g++", "pkg-config", "libgrpc++-dev", "libprotobuf-dev"],
  ...["protobuf-compiler", "protobuf-compiler-grpc"],
];

/** Builds a client, once for each state of its sources. Throws with what to install where a tool is missing. */
export const build: Readonly<Record<Language | "grpcurl", (shop: Workshop) => Promise<Program>>> = {
  go: async (shop) => ({ argv: [join(await goTools(shop), "client")] }),
  grpcurl: async (shop) => ({ argv: [join(await goTools(shop), "grpcurl")] }),
  async python(shop) {
    await need("python3", "Python 3.10 or newer with pip");
    const source = join(import.meta.dirname, "python");
    const requirements = join(source, "requirements.txt");
    const version = await must(["python3", "--version"]);
    const packages = await folderStep(shop, {
      name: "client-python",
      inputs: [...(await fileInputs([requirements])), version],
      build: async (folder, logFile) => {
        const pip = ["python3", "-m", "pip", "install", "--quiet", "--no-deps"];
        await must([...pip, "--target", folder, "-r", requirements], { logFile });
      },
    });
    // The library tells what it is about in its log, which is for people.
    return { argv: ["python3", join(source, "client.py")], env: { PYTHONPATH: packages } };
  },
  async rust(shop) {
    await need("cargo", "Rust 1.88 or newer with cargo");
    const source = join(import.meta.dirname, "rust");
    const folder = await folderStep(shop, {
      name: "client-rust",
      inputs: await sourcesOf("rust", [
        ...["Cargo.toml", "Cargo.lock", "src/main.rs"],
        "../../../docs/examples/follow.rs",
      ]),
      build: async (folder, logFile) => {
        const target = join(folder, "target");
        await must(["cargo", "build", "--release", "--locked", "--target-dir", target], {
          cwd: source,
          logFile,
          timeoutMs: BUILD_MS,
        });
        for (const name of ["signet-workload-client", "follow"]) {
          await copyFile(join(target, "release", name), join(folder, name));
        }
        await must(["rm", "-rf", target]);
      },
    });
    return { argv: [join(folder, "signet-workload-client")] };
  },
  async java(shop) {
    await need("mvn", "Maven");
    await need("javac", "a JDK, version 17 or newer");
    const folder = await folderStep(shop, {
      name: "client-java",
      inputs: await sourcesOf("java", ["pom.xml", "src/main/java/Client.java"]),
      build: async (folder, logFile) => {
        const goals = ["compile", "dependency:copy-dependencies"];
        await must(["mvn", "--batch-mode", "--quiet", `-Dclient.out=${folder}`, ...goals], {
          cwd: join(import.meta.dirname, "java"),
          logFile,
          timeoutMs: BUILD_MS,
        });
      },
    });
    const jars = readdirSync(join(folder, "lib")).map((jar) => join(folder, "lib", jar));
    const classPath = [join(folder, "classes"), ...jars].join(":");
    return { argv: ["java", "-cp", classPath, "Client"] };
  },
  async cpp(shop) {
    await installPackages(shop, "the C++ client", CPP_PACKAGES, CPP_PROGRAMS);
    const proto = join(import.meta.dirname, "../../proto/spiffe/workload");
    const sources = await sourcesOf("cpp", [
      ...["build.sh", "client.cc"],
      "../../../docs/examples/follow.cc",
    ]);
    const folder = await folderStep(shop, {
      name: "client-cpp",
      inputs: [...sources, ...(await fileInputs([join(proto, "workload.proto")]))],
      build: async (folder, logFile) => {
        const script = join(import.meta.dirname, "cpp", "build.sh");
        await must(["sh", script, proto, folder], { logFile, timeoutMs: BUILD_MS });
      },
    });
    return { argv: [join(folder, "client")] };
  },
};

function goTools(shop: Workshop): Promise<string> {
  return sourcesOf("go", ["go.mod", "go.sum", "main.go"]).then((inputs) =>
    folderStep(shop, {
      name: "client-go",
      inputs: [...inputs, process.arch],
      build: async (folder, logFile) => {
        const go = await goProgram(shop);
        const cwd = join(import.meta.dirname, "go");
        const env = { CGO_ENABLED: "0" };
        for (const [name, path] of [
          ["client", "."],
          ["grpcurl", GRPCURL],
        ] as const) {
          await must([go, "build", "-trimpath", "-o", join(folder, name), path], {
            ...{ cwd, env, logFile },
            timeoutMs: BUILD_MS,
          });
        }
      },
    }),
  );
}

function sourcesOf(language: Language, files: readonly string[]): Promise<string[]> {
  return fileInputs(files.map((file) => join(import.meta.dirname, language, file)));
}

async function need(program: string, what: string): Promise<void> {
  if (await available(program)) return;
  throw new Error(`${program} is not on PATH: install ${what} to run this client`);
}
