import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { defineConfig } from "vite";
import { licences } from "./build/licences.js";

const root = path.dirname(fileURLToPath(import.meta.url));
const out = path.resolve(root, "../src/isocenter/web/page_files");
const packages = new Set();

/** Leaves a compressed copy beside each script and style, so that the server need not compress. */
function finish(gathered) {
  return {
    name: "isocenter-finish",
    closeBundle(error) {
      if (error) return; // told by the build itself
      const assets = path.join(out, "assets");
      mkdirSync(assets, { recursive: true });
      for (const name of readdirSync(assets)) {
        if (/\.(js|css|svg)$/.test(name)) {
          const file = path.join(assets, name);
          writeFileSync(`${file}.gz`, gzipSync(readFileSync(file), { level: 9 }));
        }
      }
      if (!packages.size) throw new Error("no package was seen in the bundle: its licences cannot be told");
      writeFileSync(path.join(out, "licences.txt"), gathered.text());
    },
  };
}

/** Cornerstone writes one style attribute by hand, which a policy without inline styles forbids; CSSOM is allowed. */
function styled() {
  const [before, after] = ["textElement.setAttribute('style', combinedStyle)", "textElement.style.cssText = combinedStyle"];
  return {
    name: "isocenter-styled",
    transform(code, id) {
      if (!id.endsWith("drawingSvg/drawTextBox.js")) return null;
      if (!code.includes(before)) this.error("drawTextBox.js is not as it was: see to its style attribute");
      return { code: code.replace(before, after), map: null };
    },
  };
}

const gathered = licences(root, packages);

export default defineConfig({
  base: "./",
  root,
  resolve: {
    alias: { xmlbuilder2: path.join(root, "build/xmlbuilder2.js") },
  },
  plugins: [styled(), gathered, finish(gathered)],
  worker: { format: "es", plugins: () => [licences(root, packages)] },
  build: {
    outDir: out,
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 4000,
    reportCompressedSize: false,
    modulePreload: { polyfill: false },
    rollupOptions: {
      output: {
        entryFileNames: "assets/[name]-[hash].js",
        chunkFileNames: "assets/[name]-[hash].js",
        assetFileNames: "assets/[name]-[hash][extname]",
      },
    },
  },
  test: { include: ["src/**/*.test.ts"] },
});
