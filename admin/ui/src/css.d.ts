declare module "*.css"; // styles are the bundler's
