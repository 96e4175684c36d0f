// Does nothing, and ends at once when told to.
process.on("SIGTERM", () => process.exit(0));
setInterval(() => undefined, 1 << 30);
console.log("asleep");
