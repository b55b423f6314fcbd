// Stands in for xmlbuilder2, which only writers of VTK's XML files use; no such file is written here.
export function create() {
  throw new Error("no XML is written here");
}
