mod extract_worker;
