// Gathers the licences of every package that is in the bundle, for licences.txt beside it.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";

const TEXTS = /^(licen[cs]e|copying|notice)(\.|-|$)/i;

function packageOf(id) {
  const parts = id.split("node_modules/");
  if (parts.length < 2) return null;
  const inside = parts.at(-1).split("/");
  const name = inside[0].startsWith("@") ? `${inside[0]}/${inside[1]}` : inside[0];
  return path.join(parts.slice(0, -1).join("node_modules/"), "node_modules", name);
}

/** A plugin that writes the licences of what Rollup bundled, workers included. */
export function licences(root, seen) {
  return {
    name: "isocenter-licences",
    generateBundle(_options, bundle) {
      for (const chunk of Object.values(bundle)) {
        for (const id of chunk.type === "chunk" ? Object.keys(chunk.modules) : []) {
          const folder = packageOf(id.replace(/^\0/, "").split("?")[0]);
          if (folder !== null && existsSync(path.join(folder, "package.json"))) seen.add(folder);
        }
      }
    },
    writeBundle() {},
    text() {
      const parts = [...seen].sort().map((folder) => {
        const told = JSON.parse(readFileSync(path.join(folder, "package.json"), "utf8"));
        const files = readdirSync(folder).filter((name) => TEXTS.test(name)).sort();
        const texts = files.map((name) => readFileSync(path.join(folder, name), "utf8").trim());
        const licence = typeof told.license === "string" ? told.license : (told.license?.type ?? "see its text");
        return [`${told.name} ${told.version}`, `Licence: ${licence}`, ...texts].join("\n\n");
      });
      return `What Isocenter's page is built from, and under which licences.\n\n${parts.join(`\n\n${"=".repeat(80)}\n\n`)}\n`;
    },
  };
}
